# when = "ends with exit code 0 and writes nothing"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "expected rows in features.jsonl or features.json, found neither file"
# then = "Silence is not an answer where a table is waiting for rows."
# do = "Write `[]` when there is nothing to say."
# within_seconds = 10

true
