# when = "writes to `../../x`"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "the hook exited with code 1"
# then = "Above `/osa/out` everything is read-only."
# within_seconds = 10

set -e
echo '[]' > features.json
echo x > ../../x
