# when = "runs longer than its `timeoutSeconds`"
# verdict = "FAILED"
# kind = "TIMEOUT"
# says = "the hook ran longer than the 1 s it may run"
# do = "Raise `timeoutSeconds`."
# limits = { timeout_seconds = 1 }
# retries = ["TIMEOUT"]
# within_seconds = 12

sleep 100000
