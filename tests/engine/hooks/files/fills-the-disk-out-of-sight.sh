# when = "writes on and on to a file that it has removed"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "ended by SIGXFSZ, because a file of its would have grown beyond what it may write"
# then = "Nobody sees it, but it cannot grow beyond `max_output_bytes`."
# within_seconds = 20

exec 3> out-of-sight
rm out-of-sight
cat /dev/zero >&3
