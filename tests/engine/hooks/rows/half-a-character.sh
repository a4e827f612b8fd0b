# when = "writes half of a surrogate pair (`\\ud800`)"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "field label: expected whole characters, found half of one: \\ud800"
# within_seconds = 10

cat > features.json << 'END'
[{"score": 1, "label": "\ud800"}]
END
