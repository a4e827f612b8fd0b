# when = "reports a million lines of progress"
# verdict = "PASSED"
# then = "`max_progress_events` of them are kept, the rest are counted."
# do = "Report every thousandth step."
# progress_count = 1000
# dropped_count = 999000
# within_seconds = 40

yes '{"status": "step"}' | head -n 1000000 > progress.jsonl
echo '[]' > features.json
