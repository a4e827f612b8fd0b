# when = "is stopped for its time, and then ends with exit code 0"
# verdict = "FAILED"
# kind = "TIMEOUT"
# says = "longer than the 1 s"
# then = "It was too late."
# do = "As above."
# limits = { timeout_seconds = 1 }
# retries = ["TIMEOUT"]
# within_seconds = 12

trap 'echo [] > features.json; exit 0' TERM
while :; do sleep 0.1; done
