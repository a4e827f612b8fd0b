# when = "crashes (segmentation fault, abort)"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "ended by SIGSEGV"
# do = "Run it on the same input where you can look into it."
# within_seconds = 10

kill -SEGV $$
