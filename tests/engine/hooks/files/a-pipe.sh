# when = "makes one of its five files a pipe"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "{each}: expected a regular file, found a pipe"
# each = ["features.json", "features.jsonl", "rejections.jsonl", "errors.jsonl", "progress.jsonl"]
# within_seconds = 10

[ $EACH = features.json ] || echo '[]' > features.json
mkfifo $EACH
