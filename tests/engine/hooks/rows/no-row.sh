# when = "writes `[]` or `null`"
# verdict = "PASSED"
# then = "It has no rows about this record."
# rows = "[]"
# within_seconds = 10

echo null > features.json
