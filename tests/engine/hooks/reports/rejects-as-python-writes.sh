# when = "gives `NaN`, tabs or letters in another encoding with its rejection"
# verdict = "REJECTED"
# says = "caf�"
# then = "It counts all the same."
# within_seconds = 10

printf '{"status": "rejected", "message": "caf\351	au lait", "score": NaN}\n' >> progress.jsonl
