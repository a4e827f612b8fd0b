# when = "ends with another exit code than 0, or with an exception"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "the hook exited with code 3"
# then = "What it wrote does not count. A traceback is in the log."
# do = "`osa-grpc run logs RUN HOOK`"
# within_seconds = 10

echo '[]' > features.json
exit 3
