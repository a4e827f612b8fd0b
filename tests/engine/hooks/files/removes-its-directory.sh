# when = "removes its output directory"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "the hook exited with code 1"
# then = "What is in it can be removed, but not the directory."
# within_seconds = 10

echo '[]' > features.json
cd /
rm -rf /osa/out
