# when = "needs more than its `memory`, but less than twice that"
# verdict = "PASSED"
# do = "Raise `memory`: the attempts before were lost time."
# limits = { memory = "16m" }
# retries = ["OOM"]
# within_seconds = 20

head -c 20000000 /dev/zero | tail -c 20000000 > /dev/null || exit
echo '[]' > features.json
