# when = "makes a million files"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "more than the 100000 files"
# then = "It is stopped before."
# is_told = false
# slow = true
# limits = { timeout_seconds = 200, memory = "512m" }
# within_seconds = 220

i=0
while [ $i -lt 100 ]; do mkdir $i; (cd $i; seq 10000 | xargs touch); i=$((i+1)); done
