# when = "writes more to `/tmp` than its `memory`"
# verdict = "FAILED"
# kind = "OOM"
# says = "of memory it may use"
# then = "`/tmp` is in memory, and counts."
# is_told = false
# limits = { memory = "16m" }
# retries = ["OOM", "OOM"]
# within_seconds = 30

for i in 1 2 3 4; do dd if=/dev/zero of=/tmp/$i bs=1M count=20 || exit; done
rm /tmp/*
