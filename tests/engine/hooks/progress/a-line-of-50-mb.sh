# when = "reports a line of many megabytes"
# verdict = "PASSED"
# then = "It is not shown."
# do = "Put details into the log."
# progress = ["after"]
# within_seconds = 20

{ printf '{"status": "'; head -c 29000000 /dev/zero | tr '\0' x; echo '"}'; } > progress.jsonl
echo '{"status": "after"}' >> progress.jsonl
echo '[]' > features.json
