#!/usr/bin/python9
# when = "is a script whose interpreter the image does not have"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "a program was not found"
# do = "Add the interpreter to the image, or correct the first line."
# entrypoint = ["/hook"]
# within_seconds = 10

true
