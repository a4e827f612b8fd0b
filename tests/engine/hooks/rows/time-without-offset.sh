# when = "writes a time without its offset from UTC"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "field at: expected a date and time with offset, such as 2026-01-31T12:00:00Z"
# do = "In Python `datetime.now(UTC).isoformat()`."
# within_seconds = 10

echo '[{"score": 1, "at": "2026-01-31T12:00:00"}]' > features.json
