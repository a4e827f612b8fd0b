# when = "appends to its file, so that two documents are in it"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.json line 2: expected the end of the file, found ["
# do = "Write it once."
# within_seconds = 10

echo '[{"score": 1}]' >> features.json
echo '[{"score": 2}]' >> features.json
