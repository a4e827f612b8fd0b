# when = "needs more memory than its `memory`, and not more than twice that"
# verdict = "PASSED"
# then = "The second attempt has twice the memory."
# do = "Raise `memory`: each attempt that fails costs time."
# limits = { memory = "16m" }
# retries = ["OOM"]
# within_seconds = 20

[ $(head -c 20000000 /dev/zero | tail -c 20000000 | wc -c) = 20000000 ] || exit 9
echo '[]' > features.json
