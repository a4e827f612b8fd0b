# when = "rejects with `Rejected` or `REJECTED`"
# verdict = "REJECTED"
# says = "too coarse"
# within_seconds = 10

echo '{"status": "REJECTED", "message": "too coarse"}' >> progress.jsonl
