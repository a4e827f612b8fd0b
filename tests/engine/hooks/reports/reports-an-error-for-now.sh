# when = "reports an error with `\"retryable\": true`"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "no licence at the moment"
# then = "It is not tried again by itself: the mark is for people, who can say RetryRun."
# retryable = true
# within_seconds = 10

echo '{"id": "'$ID'", "error": "no licence at the moment", "retryable": true}' > errors.jsonl
