# when = "writes its rows and does not end"
# verdict = "FAILED"
# kind = "TIMEOUT"
# says = "longer than the 1 s"
# then = "Nobody knows whether these are all."
# do = "Look for threads and children that are waited for."
# limits = { timeout_seconds = 1 }
# retries = ["TIMEOUT"]
# within_seconds = 12

echo '[{"score": 1}]' > features.json
sleep 100000
