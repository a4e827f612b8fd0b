# when = "writes one object instead of a list"
# verdict = "PASSED"
# then = "That is one row."
# rows = "[{\"score\": 1}]"
# within_seconds = 10

echo '{"score": 1}' > features.json
