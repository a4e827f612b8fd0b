# when = "is ended by SIGKILL"
# verdict = "FAILED"
# kind = "OOM"
# says = "was killed, perhaps because"
# then = "The server sends none to a hook that keeps its limits, but the kernel does when memory is short, and not every engine hears of it."
# limits = { memory = "16m" }
# retries = ["OOM", "OOM"]
# do = "Give it more `memory`, or look for what else sends it."
# within_seconds = 30

kill -KILL $$
