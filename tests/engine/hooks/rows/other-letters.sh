# when = "writes a column's name with other letters (`Score`)"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "field Score: expected the declared columns only, found an unknown key"
# then = "Names are compared exactly."
# within_seconds = 10

echo '[{"Score": 1}]' > features.json
