# when = "writes an integer beyond 64 bits"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.json line 1, row 1, field count: expected an integer between -2^63 and 2^63-1, found 9223372036854775808"
# do = "Declare the column as NUMBER or STRING."
# within_seconds = 10

echo '[{"score": 1, "count": 9223372036854775808}]' > features.json
