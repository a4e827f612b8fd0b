# when = "writes more rows than the server takes (`max_rows`)"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "expected at most 10000 rows, which is what the server takes, found more"
# do = "Gather them, or ask the server's operator."
# within_seconds = 10

{ echo '['; yes '{"score": 1},' | head -n 10000; echo '{"score": 1}]'; } > features.json
