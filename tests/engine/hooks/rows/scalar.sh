# when = "writes a single number, text or `true`"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "expected rows as an array of objects, one object or null, found 42, which belongs to no column"
# do = "`[{\"score\": 42}]`"
# within_seconds = 10

echo '42' > features.json
