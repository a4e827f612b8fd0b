# when = "writes JSON in a text into an OBJECT or ARRAY"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "field detail: expected an object"
# do = "Write the object itself, not `json.dumps` of it."
# within_seconds = 10

echo '[{"score": 1, "detail": "{}"}]' > features.json
