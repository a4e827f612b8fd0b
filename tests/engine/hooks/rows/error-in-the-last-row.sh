# when = "writes ten thousand rows, of which the last is wrong"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.json line 10000, row 10000, field score: expected a finite number, found \"no\""
# then = "All rows are taken, or none."
# within_seconds = 10

{ printf '['; yes '{"score": 1},' | head -n 9999; echo '{"score": "no"}]'; } > features.json
