# when = "needs more memory than it can get"
# verdict = "FAILED"
# kind = "OOM"
# says = "of memory it may use"
# do = "Read files piece by piece; raise `memory`."
# limits = { memory = "16m" }
# retries = ["OOM", "OOM"]
# within_seconds = 30

tail /dev/zero
