# when = "writes somewhere else than `/osa/out` and `/tmp`"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "the hook exited with code 1"
# then = "`Read-only file system`."
# do = "Write to `/tmp`: `HOME`, `TMPDIR` and `XDG_CACHE_HOME` point there."
# within_seconds = 10

set -e
echo x > /bin/new
