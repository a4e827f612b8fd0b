# when = "writes a text in Latin-1 or another encoding"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.json line 1, row 1, field label: expected UTF-8, found other bytes"
# do = "Write UTF-8."
# within_seconds = 10

printf '[{"score": 1, "label": "caf\351"}]' > features.json
