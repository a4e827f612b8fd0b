# when = "prints a million lines of one byte each"
# verdict = "PASSED"
# then = "The same."
# is_told = false
# log_bytes = 1048576
# is_log_truncated = true
# within_seconds = 30

yes | head -n 1000000
echo '[]' > features.json
