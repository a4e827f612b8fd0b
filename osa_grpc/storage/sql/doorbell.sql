-- name: notify
-- $1 channel, $2 keys (text[]): one notification for each distinct key, sent when the transaction commits.
SELECT pg_notify($1, key) FROM (SELECT DISTINCT unnest($2::text[]) AS key) AS keys
