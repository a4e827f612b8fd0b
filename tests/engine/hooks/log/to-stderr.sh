# when = "prints to stderr"
# verdict = "PASSED"
# then = "It is in the log, too."
# log_bytes = 3
# within_seconds = 10

echo oh >&2
echo '[]' > features.json
