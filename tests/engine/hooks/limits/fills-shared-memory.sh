# when = "writes more than 64 MB to `/dev/shm`"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "the hook exited with code 1"
# then = "The log has `No space left on device`. It counts as memory."
# do = "Have libraries that share arrays between processes use files."
# limits = { memory = "256m" }
# within_seconds = 15

for i in 1 2 3 4; do dd if=/dev/zero of=/dev/shm/$i bs=1M count=20 || exit 1; done
