# when = "prints 200 MB of lines"
# verdict = "PASSED"
# then = "The same."
# is_told = false
# log_bytes = 1048576
# is_log_truncated = true
# within_seconds = 40

yes 'the same line again and again, as fast as it can' | head -c 200000000
echo '[]' > features.json
