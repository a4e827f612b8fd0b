# when = "forks without end"
# verdict = "FAILED"
# kind = "TIMEOUT"
# says = "longer than the 2 s"
# then = "It has 256 processes; the next cannot be started. Nobody else notices."
# limits = { timeout_seconds = 2, cpu = "0.5" }
# retries = ["TIMEOUT"]
# within_seconds = 25

bomb() { bomb | bomb & }
bomb
sleep 100000
