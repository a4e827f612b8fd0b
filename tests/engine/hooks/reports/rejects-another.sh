# when = "rejects another record than its own"
# verdict = "PASSED"
# then = "That is not about this one."
# do = "Use the `id` of `records.jsonl`."
# within_seconds = 10

echo '{"id": "another", "reason": "too coarse"}' > rejections.jsonl
echo '[]' > features.json
