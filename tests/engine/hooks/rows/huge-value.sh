# when = "writes a row of more than 3 MiB"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "expected a row of at most 3145728 bytes"
# then = "A row has to fit a message."
# do = "Rows are for values that are looked for; keep the rest in the deposition's files."
# within_seconds = 10

{ printf '[{"score": 1, "label": "'; head -c 20000000 /dev/zero | tr '\0' x; printf '"}]'; } > features.json
