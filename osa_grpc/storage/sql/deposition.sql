-- name: insert
-- $1 id, $2, $3 the convention's id and version, $4 metadata (JSON)
INSERT INTO osa.deposition (id, convention_id, convention_version, metadata) VALUES ($1, $2, $3, $4) RETURNING *

-- name: find
-- $1 id
SELECT * FROM osa.deposition WHERE id = $1

-- name: find_for_update
-- $1 id
SELECT * FROM osa.deposition WHERE id = $1 FOR NO KEY UPDATE

-- name: list
-- $1 the ids of a page's depositions (uuid[]), in their order; `listed` counts them from 1
SELECT d.*, page.listed
FROM unnest($1::uuid[]) WITH ORDINALITY AS page (id, listed)
JOIN osa.deposition AS d ON d.id = page.id
ORDER BY page.listed

-- name: save
-- $1 id, $2 metadata (JSON), $3 state, $4 the run's id, $5, $6 the record's id and version, $7 rejection_reason
UPDATE osa.deposition SET
    metadata = $2, state = $3, run_id = $4, record_id = $5, record_version = $6, rejection_reason = $7,
    revision = revision + 1, updated_at = now()
WHERE id = $1
RETURNING *

-- name: delete
-- $1 id
WITH deposition AS (
    DELETE FROM osa.deposition WHERE id = $1
)
DELETE FROM osa.deposition_file WHERE deposition_id = $1 RETURNING key
