-- name: insert
-- $1 id, $2 version, $3 srn, $4 deposition, $5 run, $6, $7 the convention's id and version, $8 metadata (JSON),
-- $9 file_count, $10 created_at
INSERT INTO osa.record (
    id, version, srn, deposition_id, run_id, convention_id, convention_version, metadata, file_count, created_at
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (run_id) DO NOTHING
RETURNING true

-- name: find
-- $1 id, $2 version
SELECT * FROM osa.record WHERE id = $1 AND version = $2

-- name: list
-- $1, $2, $3 created_at, id and version of the last one before the page, or nulls; $4 how many
SELECT * FROM osa.record
WHERE (created_at, id, version) < (coalesce($1::timestamptz, 'infinity'), $2::uuid, $3::integer)
ORDER BY created_at DESC, id DESC, version DESC
LIMIT $4
