# when = "writes a key twice in a row"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "field score: expected each column once, found it twice"
# then = "Readers of JSON do not agree which of them counts."
# within_seconds = 10

echo '[{"score": 1, "score": 2}]' > features.json
