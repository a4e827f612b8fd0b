# when = "reports an error that is `retryable`"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "no licence at the moment"
# then = "It is not run again by itself; whoever reads it can say `osa-grpc run retry`."
# retryable = true
# within_seconds = 10

echo '{"id": "'$ID'", "error": "no licence at the moment", "retryable": true}' > errors.jsonl
