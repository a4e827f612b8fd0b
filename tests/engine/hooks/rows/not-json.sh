# when = "writes something that is no JSON"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.json line 1, row 1: expected JSON, found {'score': 1}"
# do = "Use a JSON library, not `print` or `str`."
# within_seconds = 10

echo "[{'score': 1}]" > features.json
