# when = "is an image whose program is no program"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "the hook exited with code"
# do = "Begin a script with `#!/bin/sh` or its like; build for the machine's architecture."
# entrypoint = ["/hook"]
# within_seconds = 10

this is not a program, and has no line that names one
