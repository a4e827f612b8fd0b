# when = "writes a number as a string"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.json line 1, row 1, field score: expected a finite number, found \"1.5\""
# do = "`1.5`, not `\"1.5\"`."
# within_seconds = 10

echo '[{"score": "1.5"}]' > features.json
