-- name: claim
-- $1 the id of the server that wants to keep this archive's files
INSERT INTO osa.archive (server_id) VALUES ($1) ON CONFLICT ON CONSTRAINT archive_is_one_key DO NOTHING

-- name: keeper
SELECT server_id FROM osa.archive
