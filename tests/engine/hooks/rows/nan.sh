# when = "writes `NaN` or `Infinity`, as Python does by itself"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.json line 1, row 1, field score: expected JSON, which has no NaN: write null"
# do = "Write `null`."
# within_seconds = 10

echo '[{"score": NaN}]' > features.json
