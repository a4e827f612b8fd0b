# when = "crashes (a segmentation fault, an abort)"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "ended by SIGSEGV"
# then = "The signal is in the message."
# do = "Try it on the same input on your own machine."
# within_seconds = 10

kill -SEGV $$
