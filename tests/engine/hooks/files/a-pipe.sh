# when = "makes one of its files a pipe"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "{each}: expected a regular file, found something else"
# then = "Nobody waits for a writer."
# each = ["features.json", "features.jsonl", "rejections.jsonl", "errors.jsonl", "progress.jsonl"]
# within_seconds = 10

[ $EACH = features.json ] || echo '[]' > features.json
mkfifo $EACH
