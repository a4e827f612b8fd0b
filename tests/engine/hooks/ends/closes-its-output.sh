# when = "closes stdout and stderr and works on"
# verdict = "PASSED"
# then = "Nothing is lost but the log."
# rows = "[{\"score\": 1}]"
# within_seconds = 10

exec >&- 2>&-
sleep 0.3
echo '[{"score": 1}]' > features.json
