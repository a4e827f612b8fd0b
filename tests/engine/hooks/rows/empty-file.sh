# when = "leaves its file of rows empty"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "expected a value, found the end of the file"
# then = "An empty file may be one whose writer was cut off."
# do = "Write `[]`."
# within_seconds = 10

: > features.json
