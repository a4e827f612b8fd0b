# when = "gives a program the setuid bit"
# verdict = "PASSED"
# then = "It does nothing: no new privileges."
# is_told = false
# within_seconds = 10

cp /bin/busybox sh && chmod 6755 sh && rm sh
echo '[]' > features.json
