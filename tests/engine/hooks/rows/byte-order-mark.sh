# when = "begins its file with a byte order mark, or writes UTF-16"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.json line 1: expected UTF-8 without a byte order mark, found one"
# do = "Write UTF-8; in Python `encoding=\"utf-8\"`."
# within_seconds = 10

printf '\357\273\277[{"score": 1}]' > features.json
