# when = "writes a number of two million digits"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "field count: expected an integer between -2^63 and 2^63-1, found 111"
# is_told = false
# within_seconds = 10

{ printf '[{"score": 1, "count": '; head -c 2000000 /dev/zero | tr '\0' 1; printf '}]'; } > features.json
