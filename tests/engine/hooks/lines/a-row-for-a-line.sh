# when = "writes a row where a line about the record should be"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.jsonl line 1, field score: expected the keys id and features"
# do = "`{\"id\": ..., \"features\": [{\"score\": 1}]}`"
# within_seconds = 10

echo '{"score": 1}' > features.jsonl
