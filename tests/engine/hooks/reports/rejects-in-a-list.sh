# when = "writes `rejections.jsonl` as something else than lines with an `id`"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "rejections.jsonl line 1: expected a JSON object"
# do = "One object on each line."
# within_seconds = 10

echo '[{"id": "'$ID'", "reason": "too coarse"}]' > rejections.jsonl
echo '[]' > features.json
