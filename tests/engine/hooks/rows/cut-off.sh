# when = "stops in the middle of writing, and ends with 0"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.json line 1: the file ends inside of a value"
# do = "Look at why; a program that fails should not end with 0."
# within_seconds = 10

printf '[{"score": 1}, {"score": ' > features.json
