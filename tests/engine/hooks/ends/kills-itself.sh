# when = "is ended by SIGKILL"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "ended by SIGKILL, perhaps for memory"
# then = "Nobody here sends it, but the kernel may, when memory is short."
# do = "Give it more `memory`, or look for what sends the signal."
# within_seconds = 10

kill -KILL $$
