# when = "prints a gigabyte without a newline"
# verdict = "PASSED"
# then = "The first `max_log_bytes` are kept, and the end is marked."
# log_bytes = 1048576
# is_log_truncated = true
# within_seconds = 90

head -c 1000000000 /dev/zero
echo '[]' > features.json
