# when = "writes its file of progress anew, while it runs"
# verdict = "PASSED"
# then = "It is read from its beginning."
# do = "Append."
# last_progress = "two"
# within_seconds = 10

echo '{"status": "one"}' > progress.jsonl
sleep 0.5
: > progress.jsonl
sleep 0.5
echo '{"status": "two"}' > progress.jsonl
echo '[]' > features.json
