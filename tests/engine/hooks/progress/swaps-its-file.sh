# when = "swaps its file of progress for a link, and back, again and again"
# verdict = "PASSED"
# then = "No link is followed."
# is_told = false
# within_seconds = 10

echo '{"status": "good"}' > good
i=0
while [ $i -lt 300 ]; do ln -sf /etc/passwd progress.jsonl; ln -sf /proc/self/environ progress.jsonl; mv good progress.jsonl; cp progress.jsonl good; i=$((i+1)); done
echo '[]' > features.json
