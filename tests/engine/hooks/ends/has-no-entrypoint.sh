# when = "is an image without a program"
# verdict = "FAILED"
# kind = "CONFIG"
# says = "No command specified"
# do = "Give the image an `ENTRYPOINT`."
# entrypoint = []
# within_seconds = 10

true
