# when = "calls a file that is no program, or is not executable"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "code 126: a program cannot be run"
# do = "`chmod +x` it in the image."
# within_seconds = 10

/osa/in/record.json
