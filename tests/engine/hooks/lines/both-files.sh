# when = "writes `features.json` and `features.jsonl`"
# verdict = "PASSED"
# then = "`features.jsonl` counts, the other is not looked at."
# rows = "[{\"score\": 2}]"
# within_seconds = 10

echo 'nonsense' > features.json
echo '{"id": "'$ID'", "features": [{"score": 2}]}' > features.jsonl
