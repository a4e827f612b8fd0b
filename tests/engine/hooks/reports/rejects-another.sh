# when = "rejects another record than its own"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "rejections.jsonl line 1, field id: expected"
# do = "Use the `id` of `records.jsonl`."
# within_seconds = 10

echo '{"id": "another", "reason": "too coarse"}' > rejections.jsonl
echo '[]' > features.json
