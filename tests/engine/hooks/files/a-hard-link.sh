# when = "makes one of its files a hard link to another of them"
# verdict = "PASSED"
# then = "It is a file like any other."
# rows = "[{\"score\": 1}]"
# within_seconds = 10

echo '[{"score": 1}]' > table
ln table features.json
ln table progress.jsonl
