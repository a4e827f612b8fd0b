# when = "closes its output directory (0000)"
# verdict = "PASSED"
# then = "It is read and removed all the same, if the server is root; else BAD_OUTPUT."
# rows = "[{\"score\": 1}]"
# within_seconds = 10

echo '[{"score": 1}]' > features.json
mkdir -p a/b
chmod 0 a .
