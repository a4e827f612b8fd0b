# when = "writes no line"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "features.jsonl line 1: expected a line about"
# do = "Write one, with `\"features\": []` if there are no rows."
# within_seconds = 10

: > features.jsonl
