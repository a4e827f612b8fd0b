# when = "leaves out a column that is not `required` in some rows"
# verdict = "PASSED"
# then = "It is NULL there."
# rows = "[{\"score\": 1, \"label\": null}, {\"score\": 2, \"label\": \"b\"}]"
# within_seconds = 10

echo '[{"score": 1}, {"score": 2, "label": "b"}]' > features.json
