# when = "writes `errors.jsonl` as something else than lines with an `id`"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "errors.jsonl line 1: expected a JSON object, found no model"
# within_seconds = 10

echo 'no model' > errors.jsonl
