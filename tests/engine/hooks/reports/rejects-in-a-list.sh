# when = "writes anything but lines with an `id` into `rejections.jsonl`"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "rejections.jsonl line 1: expected a JSON object"
# do = "One object on each line."
# within_seconds = 10

echo '[{"id": "'$ID'", "reason": "too coarse"}]' > rejections.jsonl
echo '[]' > features.json
