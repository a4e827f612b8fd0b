# when = "writes anything but lines with an `id` into `errors.jsonl`"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "errors.jsonl line 1: expected a JSON object, found no model"
# do = "One object on each line."
# within_seconds = 10

echo 'no model' > errors.jsonl
