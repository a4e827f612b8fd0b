# when = "leaves its file empty"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "expected a value, found the end of the file"
# then = "Its writer may have been cut off."
# do = "Write `[]` if there are no rows."
# within_seconds = 10

: > features.json
