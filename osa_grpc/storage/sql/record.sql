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
-- $1, $2 the ids and versions of a page's records (uuid[], integer[]), in their order; `listed` counts them from 1
SELECT r.*, page.listed
FROM unnest($1::uuid[], $2::integer[]) WITH ORDINALITY AS page (id, version, listed)
JOIN osa.record AS r ON r.id = page.id AND r.version = page.version
ORDER BY page.listed
