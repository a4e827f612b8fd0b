# when = "gives a reason of 100 kB"
# verdict = "REJECTED"
# says = "xxxx"
# then = "The first 4096 characters are kept."
# do = "Put details into the log."
# within_seconds = 10

{ printf '{"status": "rejected", "message": "'; head -c 100000 /dev/zero | tr '\0' x; echo '"}'; } >> progress.jsonl
