# when = "leaves a comma behind the last row"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.json line 1: expected a value, found ]"
# do = "Use a JSON library."
# within_seconds = 10

echo '[{"score": 1},]' > features.json
