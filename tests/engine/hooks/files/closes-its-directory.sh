# when = "closes its output directory (mode 0000)"
# verdict = "PASSED"
# then = "A server that is root reads it all the same; for another it is BAD_OUTPUT."
# rows = "[{\"score\": 1}]"
# within_seconds = 10

echo '[{"score": 1}]' > features.json
mkdir -p a/b
chmod 0 a .
