# when = "is an image whose `ENTRYPOINT` or `CMD` is not in it"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "a program was not found"
# do = "Correct it; the path is the one inside of the image."
# entrypoint = ["/no/such/program"]
# within_seconds = 10

true
