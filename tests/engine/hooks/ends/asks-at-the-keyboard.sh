# when = "asks a question and waits for an answer"
# verdict = "FAILED"
# kind = "HOOK_EXIT"
# says = "the hook exited with code 4"
# then = "Nobody is there: its input ends at once, in Python with `EOFError`."
# do = "Read what you need from `config.json`."
# within_seconds = 10

read -r answer || exit 4
