# when = "reports something that is no JSON object"
# verdict = "PASSED"
# then = "It is passed over."
# progress = ["half"]
# within_seconds = 10

echo 'Traceback (most recent call last):' >> progress.jsonl
echo '[1]' >> progress.jsonl
echo '{"status": "half"}' >> progress.jsonl
echo '[]' > features.json
