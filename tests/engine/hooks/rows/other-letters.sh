# when = "writes a column's name in other letters"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "field Score: expected the declared columns only, found an unknown key"
# do = "Names are compared letter by letter."
# within_seconds = 10

echo '[{"Score": 1}]' > features.json
