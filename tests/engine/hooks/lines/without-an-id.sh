# when = "leaves out `id` or `features`"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.jsonl line 1, field id: expected the keys id and features, found no such key"
# within_seconds = 10

echo '{"features": []}' > features.jsonl
