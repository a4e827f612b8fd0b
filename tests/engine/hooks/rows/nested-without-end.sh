# when = "nests arrays a million deep"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.json line 1"
# then = "Nothing of it is built in memory."
# within_seconds = 10

head -c 1000000 /dev/zero | tr '\0' '[' > features.json
