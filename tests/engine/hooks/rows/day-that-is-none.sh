# when = "writes the 30th of February"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "field day: expected a date, such as 2026-01-31"
# is_told = false
# within_seconds = 10

echo '[{"score": 1, "day": "2026-02-30"}]' > features.json
