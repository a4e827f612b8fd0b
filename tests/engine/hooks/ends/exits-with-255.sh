# when = "ends with exit code 255"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "the hook exited with code 255"
# then = "As with any other code."
# is_told = false
# within_seconds = 10

exit 255
