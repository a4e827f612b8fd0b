# when = "writes more than 64 MB to `/dev/shm`"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "the hook exited with code 1"
# then = "`No space left on device`; it counts as memory, too."
# do = "Libraries that share arrays between processes (PyTorch, multiprocessing) can be told to use files."
# limits = { memory = "256m" }
# within_seconds = 15

for i in 1 2 3 4; do dd if=/dev/zero of=/dev/shm/$i bs=1M count=20 || exit 1; done
