# when = "removes the file in which it has rejected"
# verdict = "PASSED"
# then = "What is there in the end counts."
# within_seconds = 10

echo '{"status": "rejected", "message": "too coarse"}' >> progress.jsonl
sleep 0.5
rm progress.jsonl
echo '[]' > features.json
