# when = "makes its file a hard link to another of its files"
# verdict = "PASSED"
# then = "It is a file like any other."
# rows = "[{\"score\": 1}]"
# within_seconds = 10

echo '[{"score": 1}]' > table
ln table features.json
ln table progress.jsonl
