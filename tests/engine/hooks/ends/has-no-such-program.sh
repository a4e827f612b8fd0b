# when = "is an image whose program does not exist"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "a program was not found"
# do = "Correct `ENTRYPOINT` or `CMD`."
# entrypoint = ["/no/such/program"]
# within_seconds = 10

true
