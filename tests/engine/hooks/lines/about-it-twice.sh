# when = "writes two lines about its record"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.jsonl line 2: expected one line, about"
# do = "Put all rows into one line."
# within_seconds = 10

echo '{"id": "'$ID'", "features": []}' >> features.jsonl
echo '{"id": "'$ID'", "features": []}' >> features.jsonl
