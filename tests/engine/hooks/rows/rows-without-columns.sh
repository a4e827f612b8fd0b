# when = "has no columns, and writes rows"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.json line 1, row 1, field score: expected the declared columns only, found an unknown key"
# do = "Declare the columns."
# columns = "none"
# within_seconds = 10

echo '[{"score": 1}]' > features.json
