# when = "runs a program that it has put into `/tmp`"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "code 126"
# do = "Put programs into the image."
# within_seconds = 10

cp /bin/busybox /tmp/busybox
exec /tmp/busybox true
