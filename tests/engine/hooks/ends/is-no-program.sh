# when = "is an image whose program cannot be run: no `#!`, or another processor's"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "the hook exited with code"
# do = "Begin a script with `#!/bin/sh` or its like; build for the server's kind of processor."
# entrypoint = ["/hook"]
# within_seconds = 10

this is not a program, and has no line that names one
