# when = "starts processes without end"
# verdict = "FAILED"
# kind = "TIMEOUT"
# says = "longer than the 2 s"
# then = "It may have 256; nobody else notices."
# limits = { timeout_seconds = 2, cpu = "0.5" }
# retries = ["TIMEOUT"]
# within_seconds = 25

bomb() { bomb | bomb & }
bomb
sleep 100000
