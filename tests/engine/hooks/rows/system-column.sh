# when = "writes `id`, `record_srn`, `execution_id` or `created_at`"
# verdict = "FAILED"
# kind = "BAD_OUTPUT"
# says = "field record_srn: expected the declared columns only, found the name of a system column"
# do = "Leave them out: they are filled in."
# within_seconds = 10

echo '[{"score": 1, "record_srn": "urn:osa:x:rec:y@1"}]' > features.json
