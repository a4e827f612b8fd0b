# when = "reports an error in `errors.jsonl`"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "no model for this"
# then = "Rows do not count then."
# within_seconds = 10

echo '{"id": "'$ID'", "error": "no model for this"}' > errors.jsonl
echo '[{"score": 1}]' > features.json
