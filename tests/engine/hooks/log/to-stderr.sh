# when = "prints to stderr"
# verdict = "PASSED"
# then = "That is in the log, too. In which order with stdout is up to the container engine."
# log_bytes = 3
# within_seconds = 10

echo oh >&2
echo '[]' > features.json
