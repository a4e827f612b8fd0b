# when = "writes more than `max_output_bytes` of the server"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "the hook's output takes more than the 33554432 bytes it may take"
# then = "It is stopped as soon as it is seen."
# do = "Write less; ask the operator."
# within_seconds = 12

dd if=/dev/zero of=big bs=1M count=80
sleep 60
