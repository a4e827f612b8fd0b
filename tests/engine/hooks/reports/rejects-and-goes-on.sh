# when = "rejects, and then reports that all is well"
# verdict = "REJECTED"
# says = "too coarse"
# then = "A rejection is not taken back."
# do = "Reject when you are sure."
# within_seconds = 10

echo '{"status": "rejected", "message": "too coarse"}' >> progress.jsonl
echo '{"status": "done", "message": "all is well"}' >> progress.jsonl
echo '[]' > features.json
