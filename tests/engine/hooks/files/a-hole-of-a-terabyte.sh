# when = "makes a sparse file larger than `max_output_bytes`"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "ended by SIGXFSZ, because a file of its would have grown beyond what it may write"
# then = "Holes count here."
# within_seconds = 10

truncate -s 1024G features.json
