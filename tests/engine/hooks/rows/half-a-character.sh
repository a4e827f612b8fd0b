# when = "writes half of a character (`\\ud800`), as Python has them in names of files"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "field label: expected whole characters, found half of one: \\ud800"
# do = "`text.encode(errors=\"replace\").decode()`"
# within_seconds = 10

cat > features.json << 'END'
[{"score": 1, "label": "\ud800"}]
END
