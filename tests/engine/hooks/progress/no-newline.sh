# when = "does not end its last line"
# verdict = "PASSED"
# then = "It counts when the hook has ended."
# do = "End lines with a newline, so that they are seen at once."
# progress = ["half"]
# within_seconds = 10

printf '{"status": "half"}' >> progress.jsonl
echo '[]' > features.json
