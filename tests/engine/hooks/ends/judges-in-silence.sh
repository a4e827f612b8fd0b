# when = "has no columns, and writes nothing"
# verdict = "PASSED"
# then = "It only judges, and has nothing against it."
# columns = "none"
# within_seconds = 10

true
