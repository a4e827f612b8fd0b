# when = "writes a key twice in one row"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "field score: expected each column once, found it twice"
# then = "JSON readers do not agree on which counts."
# within_seconds = 10

echo '[{"score": 1, "score": 2}]' > features.json
