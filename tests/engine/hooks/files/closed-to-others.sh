# when = "writes files that only itself may read"
# verdict = "PASSED"
# then = "They are read."
# rows = "[{\"score\": 1}]"
# within_seconds = 10

umask 077
echo '[{"score": 1}]' > features.json
chmod 0 features.json
