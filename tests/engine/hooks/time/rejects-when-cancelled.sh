# when = "rejects, or ends well, while the run is being cancelled"
# verdict = "CANCELLED"
# then = "Whoever cancelled has decided."
# cancelled = true
# within_seconds = 10

trap 'echo "{\"status\": \"rejected\"}" >> progress.jsonl; echo [] > features.json; exit 0' TERM
while :; do sleep 0.1; done
