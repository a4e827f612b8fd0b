# when = "makes one of its five files a symbolic link"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "{each}: expected a regular file, found a link"
# then = "No link is followed, wherever it leads."
# do = "Copy the file."
# each = ["features.json", "features.jsonl", "rejections.jsonl", "errors.jsonl", "progress.jsonl"]
# within_seconds = 10

[ $EACH = features.json ] || echo '[]' > features.json
ln -s /etc/passwd $EACH
