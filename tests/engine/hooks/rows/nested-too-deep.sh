# when = "nests an OBJECT or ARRAY deeper than 100 levels"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "field tags: expected an array without the NUL character, nested 100 deep at most"
# within_seconds = 10

open=$(head -c 101 /dev/zero | tr '\0' '[')
close=$(head -c 101 /dev/zero | tr '\0' ']')
echo "[{\"score\": 1, \"tags\": $open$close}]" > features.json
