# when = "makes more than 100,000 files"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "the hook's output is more than the 100000 files it may be"
# do = "Pack them."
# limits = { memory = "512m" }
# within_seconds = 90

seq 101000 | xargs touch
echo '[]' > features.json
