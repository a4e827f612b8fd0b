# when = "nests directories without end"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "the hook's output is nested deeper than the 64 directories it may be"
# within_seconds = 30

i=0
while [ $i -lt 1500 ]; do mkdir d; cd d; i=$((i+1)); done
