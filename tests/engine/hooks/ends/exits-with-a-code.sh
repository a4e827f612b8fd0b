# when = "ends with another exit code than 0"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "the hook exited with code 3"
# then = "What it wrote until then does not count."
# do = "Read its log: `osa-grpc run logs RUN HOOK`."
# within_seconds = 10

echo '[]' > features.json
exit 3
