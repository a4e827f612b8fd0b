# when = "reports numbers, objects and `null` where texts should be"
# verdict = "PASSED"
# then = "They are shown as JSON."
# progress = ["7"]
# within_seconds = 10

echo '{"status": 7, "step": {"a": 1}, "message": null, "more": true}' > progress.jsonl
echo '[]' > features.json
