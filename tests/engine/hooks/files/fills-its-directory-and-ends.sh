# when = "writes more than `max_output_bytes`, and ends before anybody looks"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "takes more than the 33554432 bytes"
# is_told = false
# within_seconds = 12

dd if=/dev/zero of=big bs=1M count=60
echo '[]' > features.json
