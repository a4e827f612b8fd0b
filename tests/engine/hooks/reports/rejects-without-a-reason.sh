# when = "rejects, and gives no reason"
# verdict = "REJECTED"
# says = "the hook gave no reason"
# do = "Say what to correct."
# within_seconds = 10

echo '{"status": "rejected"}' >> progress.jsonl
