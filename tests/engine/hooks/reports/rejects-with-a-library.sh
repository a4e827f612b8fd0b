# when = "gives a reason of more than a megabyte in `progress.jsonl`"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "progress.jsonl line 1: expected a line of at most 1048576 bytes, found a longer one that may be a rejection"
# then = "What may be a rejection is not passed over."
# do = "Put details into the log."
# within_seconds = 10

{ printf '{"status": "rejected", "message": "'; head -c 5000000 /dev/zero | tr '\0' x; echo '"}'; } >> progress.jsonl
echo '[]' > features.json
