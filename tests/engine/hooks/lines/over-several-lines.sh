# when = "spreads a line over several (`indent=2`)"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.jsonl line 1"
# then = "A line is a document."
# do = "`json.dumps(entry)` without `indent`."
# within_seconds = 10

printf '{\n  "id": "%s",\n  "features": []\n}\n' "$ID" > features.jsonl
