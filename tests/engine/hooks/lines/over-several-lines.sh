# when = "spreads a line over several"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.jsonl line 1: expected a value, found the end of the line"
# do = "`json.dumps(line)`, without `indent`."
# within_seconds = 10

printf '{\n  "id": "%s",\n  "features": []\n}\n' "$ID" > features.jsonl
