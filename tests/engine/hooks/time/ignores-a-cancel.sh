# when = "ignores the stop signal when the run is cancelled"
# verdict = "CANCELLED"
# then = "It is killed `stop_grace_seconds` after the signal."
# cancelled = true
# within_seconds = 10

trap '' TERM INT HUP
while :; do sleep 1; done
