# when = "does not end its last line"
# verdict = "PASSED"
# then = "It is shown when the hook has ended."
# do = "End lines with a newline, and flush."
# progress = ["half"]
# within_seconds = 10

printf '{"status": "half"}' >> progress.jsonl
echo '[]' > features.json
