# when = "gives files odd names: newlines, `..\\..\\x`, no UTF-8"
# verdict = "PASSED"
# then = "They are not read, and are removed with the rest."
# within_seconds = 10

touch '..\..\x' 'a
b' '$(reboot)' "$(printf '\377\376')" ... '-rf' ' ' "$(head -c 255 /dev/zero | tr '\0' x)" '*' 'features.json '
mkdir -- '..a' '-'
echo '[]' > features.json
