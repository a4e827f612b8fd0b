# when = "writes a list of values instead of rows"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.json line 1, row 1: expected an object of columns, found 1"
# do = "`[{\"score\": 1}, {\"score\": 2}]`"
# within_seconds = 10

echo '[1, 2]' > features.json
