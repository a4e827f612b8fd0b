# when = "reports thirty megabytes of `{}`"
# verdict = "PASSED"
# then = "The same."
# is_told = false
# slow = true
# last_progress = ""
# within_seconds = 60

yes '{}' | head -c 30000000 > progress.jsonl
echo '[]' > features.json
