# when = "gives a reason with NUL or half of a character"
# verdict = "REJECTED"
# says = "a�b"
# then = "They are replaced."
# within_seconds = 10

cat >> progress.jsonl << 'END'
{"status": "rejected", "message": "a\u0000b\ud800c"}
END
