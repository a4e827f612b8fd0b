# when = "has no columns and writes nothing"
# verdict = "PASSED"
# then = "A hook without columns only judges."
# columns = "none"
# within_seconds = 10

true
