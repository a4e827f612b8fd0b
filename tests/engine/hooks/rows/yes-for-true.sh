# when = "writes 1 or `\"yes\"` into a BOOLEAN"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "field flag: expected true or false"
# do = "`true` or `false`."
# within_seconds = 10

echo '[{"score": 1, "flag": 1}]' > features.json
