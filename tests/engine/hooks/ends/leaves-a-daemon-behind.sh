# when = "starts a daemon that detaches itself and goes on writing"
# verdict = "PASSED"
# then = "The same."
# is_told = false
# rows = "[{\"score\": 1}]"
# within_seconds = 8

setsid sh -c 'exec >/dev/null 2>&1; while :; do echo x >> daemon; done' &
echo '[{"score": 1}]' > features.json
sleep 0.2
