# when = "writes `[]` or `null`"
# verdict = "PASSED"
# then = "No rows. Those it had for this record before, if any, are gone."
# rows = "[]"
# within_seconds = 10

echo null > features.json
