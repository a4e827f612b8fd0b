# when = "writes a column in some rows only, which is not `required`"
# verdict = "PASSED"
# then = "Where it is missing there is NULL."
# rows = "[{\"score\": 1, \"label\": null}, {\"score\": 2, \"label\": \"b\"}]"
# within_seconds = 10

echo '[{"score": 1}, {"score": 2, "label": "b"}]' > features.json
