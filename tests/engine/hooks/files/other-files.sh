# when = "writes other files than the five"
# verdict = "PASSED"
# then = "They are not read. Only rows and reports are kept."
# within_seconds = 10

head -c 1000000 /dev/urandom > picture.png
mkdir plots
touch plots/1.svg plots/2.svg
echo '[]' > features.json
