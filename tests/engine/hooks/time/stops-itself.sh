# when = "stops itself (SIGSTOP)"
# verdict = "FAILED"
# kind = "TIMEOUT"
# says = "longer than the 1 s"
# then = "Nobody lets it go on."
# limits = { timeout_seconds = 1 }
# retries = ["TIMEOUT"]
# within_seconds = 16

kill -STOP $$
true
