# when = "calls a program that the image does not have"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "code 127: a program was not found"
# do = "Put the program into the image."
# within_seconds = 10

frobnicate --all
