#!/usr/bin/python9
# when = "is a script whose interpreter is not in the image"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "a program was not found"
# do = "Put the interpreter into the image, or correct the first line."
# entrypoint = ["/hook"]
# within_seconds = 10

true
