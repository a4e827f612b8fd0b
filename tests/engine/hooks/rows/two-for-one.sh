# when = "writes two rows where the cardinality is ONE"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "expected one row at most (the cardinality is one), found a second"
# do = "Declare `CARDINALITY_MANY`."
# columns = "one"
# within_seconds = 10

echo '[{"score": 1}, {"score": 2}]' > features.json
