-- name: lock
-- $1 method, $2 request id
SELECT pg_advisory_xact_lock(hashtextextended('request ' || $1::text || ' ' || $2::text, 0))

-- name: find
-- $1 method, $2 request id
SELECT fingerprint, answer FROM osa.request WHERE method = $1 AND request_id = $2

-- name: insert
-- $1 method, $2 request id, $3 fingerprint, $4 answer
INSERT INTO osa.request (method, request_id, fingerprint, answer) VALUES ($1, $2, $3, $4)

-- name: purge
-- $1 how old at least (interval), $2 how many at most. What somebody else is about to delete is passed by.
WITH old AS (
    SELECT ctid FROM osa.request
    WHERE created_at < now() - $1::interval
    ORDER BY created_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
), purged AS (
    DELETE FROM osa.request AS r USING old WHERE r.ctid = old.ctid RETURNING true
)
SELECT count(*) FROM purged
