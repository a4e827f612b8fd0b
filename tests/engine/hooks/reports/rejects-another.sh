# when = "rejects another record than its own, or reports an error about one"
# verdict = "FAILED BAD_OUTPUT"
# then = "rejections.jsonl line 1, field id: expected"
# do = "Use the `id` of `records.jsonl`."
# within_seconds = 10

echo '{"id": "another", "reason": "too coarse"}' > rejections.jsonl
echo '[]' > features.json
