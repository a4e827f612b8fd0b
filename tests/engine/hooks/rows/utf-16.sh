# when = "writes UTF-16"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.json line 1: expected UTF-8 without a byte order mark, found UTF-16"
# is_told = false
# within_seconds = 10

printf '\377\376[\000]\000' > features.json
