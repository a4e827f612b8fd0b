# when = "makes a sparse file of rows that is within its bounds"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.json line 1"
# then = "A hole is full of NUL, which is no JSON."
# is_told = false
# within_seconds = 12

truncate -s 32M features.json
