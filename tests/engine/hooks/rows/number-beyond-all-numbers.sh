# when = "writes a number that no double can hold"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.json line 1, row 1, field score: expected a finite number, found 1e999"
# is_told = false
# within_seconds = 10

echo '[{"score": 1e999}]' > features.json
