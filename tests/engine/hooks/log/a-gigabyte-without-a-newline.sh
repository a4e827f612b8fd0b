# when = "prints a gigabyte, with or without newlines"
# verdict = "PASSED"
# then = "`max_log_bytes` of it are kept, and the end is marked. It is not slowed by that."
# log_bytes = 1048576
# is_log_truncated = true
# within_seconds = 90

head -c 1000000000 /dev/zero
echo '[]' > features.json
