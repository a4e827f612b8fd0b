# when = "rejects and reports an error"
# verdict = "REJECTED"
# says = "too coarse"
# then = "A rejection wins over an error."
# is_told = false
# within_seconds = 10

echo '{"status": "rejected", "message": "too coarse"}' >> progress.jsonl
echo '{"id": "'$ID'", "error": "no model"}' > errors.jsonl
