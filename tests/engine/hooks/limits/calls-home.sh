# when = "opens a network connection"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "the hook exited with code 1"
# then = "There is no network: not even names are found."
# do = "Put what it needs into the image."
# within_seconds = 10

wget -T 2 http://192.0.2.1/model || exit 1
