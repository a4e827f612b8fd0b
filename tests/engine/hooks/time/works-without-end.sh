# when = "computes without end"
# verdict = "FAILED"
# kind = "TIMEOUT"
# says = "longer than the 1 s"
# do = "As above."
# limits = { timeout_seconds = 1 }
# retries = ["TIMEOUT"]
# within_seconds = 14

while :; do :; done
