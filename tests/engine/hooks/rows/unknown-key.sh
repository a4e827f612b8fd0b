# when = "writes a key that is no column"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.json line 1, row 1, field colour: expected the declared columns only, found an unknown key"
# then = "Nothing is dropped in silence."
# do = "Declare the column, in a new version of the convention."
# within_seconds = 10

echo '[{"score": 1, "colour": "red"}]' > features.json
