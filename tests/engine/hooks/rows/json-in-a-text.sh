# when = "writes JSON in a string into an OBJECT or ARRAY"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "field detail: expected an object"
# do = "Write the value itself, not `json.dumps` of it."
# within_seconds = 10

echo '[{"score": 1, "detail": "{}"}]' > features.json
