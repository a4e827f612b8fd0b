# when = "listens on its own loopback, and connects to it"
# verdict = "PASSED"
# then = "That works. Nobody else is there."
# within_seconds = 10

while true; do echo hello | nc -l -p 8000; done &
until [ "$(nc -w 2 127.0.0.1 8000 </dev/null)" = hello ]; do sleep 0.1; done
echo '[]' > features.json
