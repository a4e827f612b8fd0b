# when = "needs more memory than it may ever have"
# verdict = "FAILED"
# kind = "OOM"
# says = "of memory it may use"
# then = "Each time with twice the memory, up to `max_retry_memory` of the server."
# do = "Read files piece by piece."
# limits = { memory = "16m" }
# retries = ["OOM", "OOM"]
# within_seconds = 30

tail /dev/zero
