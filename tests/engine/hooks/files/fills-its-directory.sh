# when = "writes more than `max_output_bytes`"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "the hook's output takes more than the 33554432 bytes it may take"
# then = "It is stopped when that is seen."
# do = "Write less, or ask the server's operator."
# within_seconds = 12

dd if=/dev/zero of=big bs=1M count=80
sleep 60
