# when = "rejects, and writes rows, be they wrong"
# verdict = "REJECTED"
# says = "too coarse"
# then = "The rows are not looked at."
# within_seconds = 10

echo '{"status": "rejected", "message": "too coarse"}' >> progress.jsonl
echo nonsense > features.json
