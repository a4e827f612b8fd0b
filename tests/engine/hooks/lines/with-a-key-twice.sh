# when = "writes `features` twice in one line"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.jsonl line 1, field features: expected the keys id and features once each, found it twice"
# is_told = false
# within_seconds = 10

echo '{"id": "'$ID'", "features": [], "features": []}' > features.jsonl
