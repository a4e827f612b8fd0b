# when = "sends a signal to every process it sees"
# verdict = "PASSED"
# then = "It sees its own only."
# is_told = false
# within_seconds = 10

echo '[{"score": 1}]' > features.json
kill -KILL -1
true
