# when = "writes more rows than `max_rows` of the server"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "expected at most 10000 rows, which is what the server takes, found more"
# do = "Gather them, or ask the operator."
# within_seconds = 10

{ echo '['; yes '{"score": 1},' | head -n 10000; echo '{"score": 1}]'; } > features.json
