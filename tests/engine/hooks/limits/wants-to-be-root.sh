# when = "changes its user, mounts, makes devices or namespaces, loads modules"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "the hook exited with code 7"
# then = "All of that is refused: `Operation not permitted`."
# within_seconds = 10

for attempt in "mount -t tmpfs none /tmp" "mknod sda b 8 0" "chown 0 ." "chroot / true" "hostname mine" "unshare -r true" "insmod /tmp/x" "su -c true" "dmesg -c" "reboot -f"; do
    $attempt && exit 1
done
exit 7
