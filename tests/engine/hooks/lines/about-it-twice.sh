# when = "writes two lines about the record"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.jsonl line 2: expected one line, about"
# do = "Gather the rows in one line."
# within_seconds = 10

echo '{"id": "'$ID'", "features": []}' >> features.jsonl
echo '{"id": "'$ID'", "features": []}' >> features.jsonl
