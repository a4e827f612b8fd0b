# when = "rejects in a line with `NaN`, a tab or another encoding than UTF-8"
# verdict = "REJECTED"
# says = "caf�"
# then = "It counts all the same."
# within_seconds = 10

printf '{"status": "rejected", "message": "caf\351	au lait", "score": NaN}\n' >> progress.jsonl
