# when = "leaves out a column that is `required`, or writes `null` there, in any row"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.json line 1, row 1, field score: expected a finite number, found no such key"
# do = "Fill it, or declare it without `required`."
# within_seconds = 10

echo '[{"label": "a"}, {"score": 2}]' > features.json
