# when = "writes the NUL character somewhere inside of an OBJECT or ARRAY"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "field detail: expected an object without the NUL character"
# is_told = false
# within_seconds = 10

cat > features.json << 'END'
[{"score": 1, "detail": {"deep": ["a\u0000b"]}}]
END
