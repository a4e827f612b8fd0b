-- name: lock
-- $1 the convention's key
SELECT pg_advisory_xact_lock(hashtextextended('convention ' || $1::text, 0))

-- name: insert
-- $1 id, $2 version, $3 definition (JSON), $4 its hooks' names (text[])
WITH convention AS (
    INSERT INTO osa.convention (id, version, definition) VALUES ($1, $2, $3) RETURNING *
), feature_tables AS (
    INSERT INTO osa.convention_feature_table (convention_id, convention_version, hook)
    SELECT $1, $2, unnest($4::text[])
)
SELECT definition, state, failure, created_at, updated_at FROM convention

-- name: find
-- $1 id, $2 version
SELECT definition, state, failure, created_at, updated_at
FROM osa.convention WHERE id = $1 AND version = $2

-- name: list
-- $1, $2, $3 created_at, id and version of the last one before the page, or nulls; $4 how many
SELECT definition, state, failure, created_at, updated_at, id, version
FROM osa.convention
WHERE (created_at, id, version) < (coalesce($1::timestamptz, 'infinity'), $2::text, $3::text)
ORDER BY created_at DESC, id DESC, version DESC
LIMIT $4

-- name: mark_pending
-- $1 id, $2 version
UPDATE osa.convention SET state = 'PENDING', failure = NULL, updated_at = now()
WHERE id = $1 AND version = $2 AND state = 'FAILED'
RETURNING true

-- name: mark_ready
-- $1 id, $2 version
UPDATE osa.convention SET state = 'READY', failure = NULL, updated_at = now()
WHERE id = $1 AND version = $2 AND state IN ('PENDING', 'FAILED')
RETURNING true

-- name: mark_failed
-- $1 id, $2 version, $3 what went wrong, for people
UPDATE osa.convention SET state = 'FAILED', failure = $3, updated_at = now()
WHERE id = $1 AND version = $2 AND state = 'PENDING'
RETURNING true
