# when = "has columns, ends with exit code 0 and writes nothing"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "expected rows in features.jsonl or features.json, found neither file"
# then = "Silence may be an accident."
# do = "Write `[]` if there is nothing to say."
# within_seconds = 10

true
