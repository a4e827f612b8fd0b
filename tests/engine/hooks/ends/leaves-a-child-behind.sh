# when = "ends while processes it has started go on"
# verdict = "PASSED"
# then = "They end with it, and whatever they would have written is not there."
# do = "Wait for them."
# rows = "[{\"score\": 1}]"
# within_seconds = 8

(sleep 1; echo '[{"score": 2}]' > features.json; sleep 60) &
echo '[{"score": 1}]' > features.json
