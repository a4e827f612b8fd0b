# when = "rejects and ends with an exit code other than 0"
# verdict = "REJECTED"
# says = "too coarse"
# then = "A rejection wins over the exit code."
# within_seconds = 10

echo '{"status": "rejected", "message": "too coarse"}' >> progress.jsonl
exit 1
