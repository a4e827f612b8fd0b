# when = "ends, and leaves a process that goes on"
# verdict = "PASSED"
# then = "The container ends with its main program: the other process is ended, and what it would have written later is not there."
# do = "Wait for your children."
# rows = "[{\"score\": 1}]"
# within_seconds = 8

(sleep 1; echo '[{"score": 2}]' > features.json; sleep 60) &
echo '[{"score": 1}]' > features.json
