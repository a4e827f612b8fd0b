# when = "makes a sparse file of a terabyte"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "ended by SIGXFSZ, because a file of its would have grown beyond what it may write"
# then = "No file can be larger than `max_output_bytes`, holes included."
# within_seconds = 10

truncate -s 1024G features.json
