# when = "rejects in `rejections.jsonl`"
# verdict = "REJECTED"
# says = "too coarse"
# within_seconds = 10

echo '{"id": "'$ID'", "reason": "too coarse"}' > rejections.jsonl
