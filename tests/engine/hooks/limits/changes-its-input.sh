# when = "changes or removes its input"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "the hook exited with code 1"
# then = "The log has `Read-only file system`."
# do = "Copy it first."
# within_seconds = 10

set -e
echo '{}' > /osa/in/record.json
