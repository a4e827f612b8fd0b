# when = "reports an error, and ends with another exit code than 0"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "the hook exited with code 1; it says: no model"
# within_seconds = 10

echo '{"id": "'$ID'", "error": "no model"}' > errors.jsonl
exit 1
