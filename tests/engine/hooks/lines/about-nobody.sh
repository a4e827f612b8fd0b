# when = "writes no line at all"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.jsonl line 1: expected a line about"
# do = "Write a line with `\"features\": []`."
# within_seconds = 10

: > features.jsonl
