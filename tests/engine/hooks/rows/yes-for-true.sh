# when = "writes `\"yes\"` or 1 into a BOOLEAN"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "field flag: expected true or false"
# within_seconds = 10

echo '[{"score": 1, "flag": 1}]' > features.json
