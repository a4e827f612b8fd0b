# when = "writes a Python `dict` as it is printed"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.json line 1, row 1: expected JSON, found {'score': 1}"
# do = "`json.dump`, not `print` or `str`."
# within_seconds = 10

echo "[{'score': 1}]" > features.json
