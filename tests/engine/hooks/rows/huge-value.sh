# when = "writes one value of 20 MB"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "expected a row of at most 3145728 bytes"
# then = "A row has to fit a message."
# do = "Large data belongs into files."
# within_seconds = 10

{ printf '[{"score": 1, "label": "'; head -c 20000000 /dev/zero | tr '\0' x; printf '"}]'; } > features.json
