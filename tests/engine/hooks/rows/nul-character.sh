# when = "writes a NUL character, in a text or anywhere in an OBJECT or ARRAY"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "field label: expected a string without the NUL character"
# then = "Postgres cannot hold it."
# do = "Remove it."
# within_seconds = 10

cat > features.json << 'END'
[{"score": 1, "label": "a\u0000b"}]
END
