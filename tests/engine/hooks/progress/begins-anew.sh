# when = "writes its file anew, or replaces it, while it runs"
# verdict = "PASSED"
# then = "It is read from its beginning. What stood there for a moment only may not be seen."
# do = "Append."
# last_progress = "two"
# within_seconds = 10

echo '{"status": "one"}' > progress.jsonl
sleep 0.5
: > progress.jsonl
sleep 0.5
echo '{"status": "two"}' > progress.jsonl
echo '[]' > features.json
