# when = "rejects and does not end"
# verdict = "FAILED"
# kind = "TIMEOUT"
# says = "longer than the 1 s"
# then = "Time comes before a rejection."
# do = "End after you have rejected."
# limits = { timeout_seconds = 1 }
# retries = ["TIMEOUT"]
# within_seconds = 12

echo '{"status": "rejected", "message": "too coarse"}' > progress.jsonl
sleep 100000
