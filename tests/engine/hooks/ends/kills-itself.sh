# when = "is ended by SIGKILL"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "ended by SIGKILL, perhaps for memory"
# then = "The server sends none to a hook that keeps its limits; the kernel may, when memory is short."
# do = "Give it more `memory`, or look for what else sends it."
# within_seconds = 10

kill -KILL $$
