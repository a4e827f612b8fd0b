# when = "writes more than 16 MB into `rejections.jsonl` or `errors.jsonl`"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "rejections.jsonl: it has 20000000 bytes, at most 16777216 are read"
# is_told = false
# within_seconds = 10

head -c 20000000 /dev/zero > rejections.jsonl
echo '[]' > features.json
