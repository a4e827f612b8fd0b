# when = "closes stdout and stderr and works on"
# verdict = "PASSED"
# then = "It runs on; only its log ends there."
# rows = "[{\"score\": 1}]"
# within_seconds = 10

exec >&- 2>&-
sleep 0.3
echo '[{"score": 1}]' > features.json
