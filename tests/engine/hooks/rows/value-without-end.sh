# when = "begins a text and never ends it, for 28 MB"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "expected a value of at most"
# is_told = false
# within_seconds = 10

{ printf '[{"score": 1, "label": "'; head -c 28000000 /dev/zero | tr '\0' x; } > features.json
