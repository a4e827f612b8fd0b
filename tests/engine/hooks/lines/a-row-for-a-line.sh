# when = "writes a row where a line about the record should be"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.jsonl line 1, field score: expected the keys id and features only, found an unknown key"
# is_told = false
# within_seconds = 10

echo '{"score": 1}' > features.jsonl
