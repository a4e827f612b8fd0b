# when = "opens a network connection"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "the hook exited with code 1"
# then = "There is no network, and no name is found."
# do = "Put what it needs into the image, or among the deposition's files."
# within_seconds = 10

wget -T 2 http://192.0.2.1/model || exit 1
