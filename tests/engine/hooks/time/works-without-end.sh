# when = "computes without end"
# verdict = "FAILED"
# kind = "TIMEOUT"
# says = "longer than the 1 s"
# is_told = false
# limits = { timeout_seconds = 1 }
# retries = ["TIMEOUT"]
# within_seconds = 14

while :; do :; done
