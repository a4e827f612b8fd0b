# when = "starts 300 processes at once"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "the hook exited with code 2"
# then = "The 257th cannot be started: `can't fork` in the log."
# do = "Use a pool of as many workers as `cpu` says."
# within_seconds = 15

i=0
while [ $i -lt 300 ]; do sleep 60 & i=$((i+1)); done
