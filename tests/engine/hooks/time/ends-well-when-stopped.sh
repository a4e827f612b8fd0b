# when = "is stopped for its time, and ends with exit code 0"
# verdict = "FAILED"
# kind = "TIMEOUT"
# says = "longer than the 1 s"
# do = "Raise `timeoutSeconds`."
# limits = { timeout_seconds = 1 }
# retries = ["TIMEOUT"]
# within_seconds = 12

trap 'echo [] > features.json; exit 0' TERM
while :; do sleep 0.1; done
