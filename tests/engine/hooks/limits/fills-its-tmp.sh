# when = "writes more than 100 MB to `/tmp`"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "the hook exited with code 1"
# then = "The log has `No space left on device`. What is in `/tmp` counts as memory."
# do = "Put large temporary files into `/osa/out`."
# limits = { memory = "256m" }
# within_seconds = 15

for i in 1 2 3 4 5 6 7 8; do dd if=/dev/zero of=/tmp/$i bs=1M count=20 || exit 1; done
