# when = "replaces its file of progress by another"
# verdict = "PASSED"
# then = "It is read from its beginning."
# is_told = false
# last_progress = "two"
# within_seconds = 10

echo '{"status": "one"}' > progress.jsonl
sleep 0.5
echo '{"status": "two"}' > new
mv new progress.jsonl
echo '[]' > features.json
