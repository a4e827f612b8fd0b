# when = "runs too long and ignores the stop signal"
# verdict = "FAILED"
# kind = "TIMEOUT"
# says = "longer than the 1 s"
# then = "It is killed `stop_grace_seconds` after the signal."
# do = "On SIGTERM, clean up and end."
# limits = { timeout_seconds = 1 }
# retries = ["TIMEOUT"]
# within_seconds = 16

trap '' TERM INT HUP
while :; do sleep 1; done
