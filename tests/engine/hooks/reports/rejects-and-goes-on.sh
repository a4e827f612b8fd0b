# when = "rejects, and reports other progress afterwards"
# verdict = "REJECTED"
# says = "too coarse"
# then = "A rejection is not taken back by a later line."
# do = "Reject at the end."
# within_seconds = 10

echo '{"status": "rejected", "message": "too coarse"}' >> progress.jsonl
echo '{"status": "done", "message": "all is well"}' >> progress.jsonl
echo '[]' > features.json
