# when = "writes its rows, and then does not end"
# verdict = "FAILED"
# kind = "TIMEOUT"
# says = "longer than the 1 s"
# then = "Rows of a hook that did not end are not taken: nobody knows whether they are all."
# do = "Look for threads, locks and children that are waited for."
# limits = { timeout_seconds = 1 }
# retries = ["TIMEOUT"]
# within_seconds = 12

echo '[{"score": 1}]' > features.json
sleep 100000
