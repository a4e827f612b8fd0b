# when = "writes `null` into a column that is `required`"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "field score: expected a finite number, found null"
# is_told = false
# within_seconds = 10

echo '[{"score": null}]' > features.json
