# when = "prints bytes that are no text"
# verdict = "PASSED"
# then = "They are kept byte by byte."
# log_bytes = 100007
# within_seconds = 10

head -c 100000 /dev/zero | tr '\0' '\377'; printf '\000\001\033[31m'
echo '[]' > features.json
