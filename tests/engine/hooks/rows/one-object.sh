# when = "writes one object instead of a list"
# verdict = "PASSED"
# then = "One row."
# rows = "[{\"score\": 1}]"
# within_seconds = 10

echo '{"score": 1}' > features.json
