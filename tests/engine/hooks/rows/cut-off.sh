# when = "ends in the middle of writing its rows"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.json line 1: the file ends inside of a value"
# do = "Write to another name and rename in the end."
# within_seconds = 10

printf '[{"score": 1}, {"score": ' > features.json
