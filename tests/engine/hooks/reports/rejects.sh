# when = "rejects"
# verdict = "REJECTED"
# says = "too coarse"
# then = "The deposition is a draft again, with the reason."
# within_seconds = 10

echo '{"status": "rejected", "message": "too coarse"}' >> progress.jsonl
