-- name: lock
-- $1 method, $2 request id
SELECT pg_advisory_xact_lock(hashtextextended('request ' || $1::text || ' ' || $2::text, 0))

-- name: find
-- $1 method, $2 request id
SELECT fingerprint, answer FROM osa.request WHERE method = $1 AND request_id = $2

-- name: insert
-- $1 method, $2 request id, $3 fingerprint, $4 answer
INSERT INTO osa.request (method, request_id, fingerprint, answer) VALUES ($1, $2, $3, $4)
