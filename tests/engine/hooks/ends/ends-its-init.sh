# when = "sends a signal to process 1 of its container"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "ended by SIGTERM"
# then = "That is the same as sending it to itself."
# within_seconds = 10

kill -KILL 1
kill -TERM 1
sleep 30
