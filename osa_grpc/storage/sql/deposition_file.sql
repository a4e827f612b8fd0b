-- name: insert_file
-- $1 deposition, $2 file_name, $3 key, $4 size_bytes, $5 sha256, $6 media_type, $7 created_at
WITH file AS (
    INSERT INTO osa.deposition_file (deposition_id, file_name, key, size_bytes, sha256, media_type, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (deposition_id, file_name) DO NOTHING
    RETURNING *
), deposition AS (
    UPDATE osa.deposition SET file_count = file_count + 1, revision = revision + 1, updated_at = now()
    WHERE id IN (SELECT deposition_id FROM file)
)
SELECT * FROM file

-- name: find_file
-- $1 deposition, $2 file_name
SELECT * FROM osa.deposition_file WHERE deposition_id = $1 AND file_name = $2

-- name: list_files
-- $1 deposition, $2 the name of the last one before the page, or null; $3 how many
SELECT * FROM osa.deposition_file
WHERE deposition_id = $1 AND file_name > coalesce($2::text, '')
ORDER BY file_name
LIMIT $3

-- name: delete_file
-- $1 deposition, $2 file_name
WITH file AS (
    DELETE FROM osa.deposition_file WHERE deposition_id = $1 AND file_name = $2 RETURNING deposition_id, key
), deposition AS (
    UPDATE osa.deposition SET file_count = file_count - 1, revision = revision + 1, updated_at = now()
    WHERE id IN (SELECT deposition_id FROM file)
)
SELECT key FROM file

-- name: file_keys
SELECT key FROM osa.deposition_file
