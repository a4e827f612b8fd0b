# when = "writes `features.json` and `features.jsonl`"
# verdict = "PASSED"
# then = "`features.jsonl` counts."
# rows = "[{\"score\": 2}]"
# within_seconds = 10

echo 'nonsense' > features.json
echo '{"id": "'$ID'", "features": [{"score": 2}]}' > features.jsonl
