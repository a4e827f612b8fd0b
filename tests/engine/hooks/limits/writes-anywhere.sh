# when = "writes to another place than `/osa/out` and `/tmp`"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "the hook exited with code 1"
# then = "The log has `Read-only file system`."
# do = "`HOME`, `TMPDIR` and `XDG_CACHE_HOME` point into `/tmp`."
# within_seconds = 10

set -e
echo x > /bin/new
