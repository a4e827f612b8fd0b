-- name: open
-- $1 execution, $2 attempt
INSERT INTO osa.run_log (execution_id, attempt) VALUES ($1, $2) ON CONFLICT (execution_id, attempt) DO NOTHING

-- name: append
-- $1 execution, $2 attempt, $3 offset, $4 data
WITH log AS (
    UPDATE osa.run_log SET size_bytes = size_bytes + octet_length($4::bytea)
    WHERE execution_id = $1 AND attempt = $2 AND size_bytes = $3 AND NOT is_closed
    RETURNING true
)
INSERT INTO osa.run_log_chunk (execution_id, attempt, start_offset, data) SELECT $1, $2, $3, $4 FROM log
RETURNING true

-- name: close
-- $1 execution, $2 attempt, $3 is_truncated
INSERT INTO osa.run_log AS log (execution_id, attempt, is_closed, is_truncated) VALUES ($1, $2, true, $3)
ON CONFLICT (execution_id, attempt) DO UPDATE SET is_closed = true, is_truncated = log.is_truncated OR $3
RETURNING (SELECT run_id FROM osa.hook_execution WHERE id = $1)

-- name: state
-- $1 execution, $2 attempt
SELECT size_bytes, is_closed, is_truncated FROM osa.run_log WHERE execution_id = $1 AND attempt = $2

-- name: read
-- $1 execution, $2 attempt, $3 offset, $4 how many bytes
SELECT substring(
    string_agg(data, ''::bytea ORDER BY start_offset)
    FROM ($3::bigint - min(start_offset) + 1)::integer FOR $4::integer
)
FROM osa.run_log_chunk
WHERE
    execution_id = $1 AND attempt = $2 AND start_offset < $3::bigint + $4::integer
    AND start_offset >= (
        SELECT max(start_offset) FROM osa.run_log_chunk
        WHERE execution_id = $1 AND attempt = $2 AND start_offset <= $3::bigint
    )
