# when = "gives a reason of 100 kB"
# verdict = "REJECTED"
# says = "too coarse too coarse"
# then = "The first 4096 characters are kept."
# do = "Put the rest into the log."
# within_seconds = 10

{ printf '{"status": "rejected", "message": "'; yes too coarse | head -c 100000 | tr '\n' ' '; echo '"}'; } >> progress.jsonl
