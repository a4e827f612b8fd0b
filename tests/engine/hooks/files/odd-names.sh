# when = "makes files with odd names"
# verdict = "PASSED"
# then = "Nothing but its five files is read, and everything is removed."
# within_seconds = 10

touch '..\..\x' 'a
b' '$(reboot)' "$(printf '\377\376')" ... '-rf' ' ' "$(head -c 255 /dev/zero | tr '\0' x)" '*' 'features.json '
mkdir -- '..a' '-'
echo '[]' > features.json
