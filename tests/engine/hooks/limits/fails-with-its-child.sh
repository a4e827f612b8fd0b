# when = "loses a child to memory, and fails with it"
# verdict = "FAILED"
# kind = "OOM"
# says = "of memory it may use"
# is_told = false
# limits = { memory = "16m" }
# retries = ["OOM", "OOM"]
# within_seconds = 30

tail /dev/zero && echo unlikely
