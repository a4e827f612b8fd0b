# when = "writes without end to a file that it has removed"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "ended by SIGXFSZ, because a file of its would have grown beyond what it may write"
# then = "Nobody sees such a file, but it cannot grow beyond `max_output_bytes` either."
# within_seconds = 20

exec 3> out-of-sight
rm out-of-sight
cat /dev/zero >&3
