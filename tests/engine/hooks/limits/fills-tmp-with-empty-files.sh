# when = "makes hundreds of thousands of empty files in `/tmp`"
# verdict = "FAILED"
# kind = "OOM"
# says = "of memory it may use"
# then = "Each takes memory."
# is_told = false
# limits = { memory = "16m" }
# retries = ["OOM", "OOM"]
# within_seconds = 30

cd /tmp
seq 300000 | xargs touch && exit
sleep 1  # the engine may not hear of it otherwise
exit 1
