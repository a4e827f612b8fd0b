# when = "gives an object as its reason"
# verdict = "REJECTED"
# says = "{\"code\":7}"
# then = "The reason is its JSON."
# do = "Write a sentence."
# within_seconds = 10

echo '{"id": "'$ID'", "reason": {"code": 7}}' > rejections.jsonl
