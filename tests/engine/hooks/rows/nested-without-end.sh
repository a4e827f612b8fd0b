# when = "opens a million brackets"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.json line 1: the file ends inside of a value"
# within_seconds = 10

head -c 1000000 /dev/zero | tr '\0' '[' > features.json
