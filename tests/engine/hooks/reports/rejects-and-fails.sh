# when = "rejects, and ends with another exit code than 0"
# verdict = "REJECTED"
# says = "too coarse"
# then = "The rejection counts."
# within_seconds = 10

echo '{"status": "rejected", "message": "too coarse"}' >> progress.jsonl
exit 1
