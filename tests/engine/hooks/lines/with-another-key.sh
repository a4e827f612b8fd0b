# when = "writes another key beside `id` and `features`, such as a column"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.jsonl line 1, field score: expected the keys id and features only, found an unknown key"
# do = "Rows belong into `features`."
# within_seconds = 10

echo '{"id": "'$ID'", "score": 1}' > features.jsonl
