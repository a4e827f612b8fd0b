# when = "starts more than 256 processes"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "the hook exited with code 2"
# then = "The log has `can't fork`, or what your language says then."
# do = "Have as many workers as `cpu` says."
# within_seconds = 15

i=0
while [ $i -lt 300 ]; do sleep 60 & i=$((i+1)); done
