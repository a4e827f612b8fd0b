# when = "writes something else into a `uuid`"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "field key: expected a UUID"
# is_told = false
# within_seconds = 10

echo '[{"score": 1, "key": "1234"}]' > features.json
