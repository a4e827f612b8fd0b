# when = "writes 2.7 into an INTEGER"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "field count: expected an integer between -2^63 and 2^63-1, found 2.7"
# then = "2.0 would be one."
# do = "Round it, or declare the column as NUMBER."
# within_seconds = 10

echo '[{"score": 1, "count": 2.7}]' > features.json
