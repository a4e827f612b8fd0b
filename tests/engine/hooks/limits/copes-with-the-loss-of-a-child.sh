# when = "loses a child process to memory, copes, and ends with 0"
# verdict = "PASSED"
# then = "It is judged by what it wrote."
# limits = { memory = "16m" }
# rows = "[{\"score\": 1}]"
# within_seconds = 20

tail /dev/zero || echo lost it
echo '[{"score": 1}]' > features.json
