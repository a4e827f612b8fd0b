-- name: open
-- $1 execution, $2 attempt
INSERT INTO osa.run_log (execution_id, attempt) VALUES ($1, $2) ON CONFLICT (execution_id, attempt) DO NOTHING

-- name: append
-- $1 execution, $2 attempt, $3 offset, $4 data, $5 the run's id, $6 worker, $7 epoch, $8 whether more came than is kept. Whether
-- the lease holds, and whether the bytes were added. Nobody can claim the run between the look at its lease and the commit.
WITH held AS (
    SELECT true FROM osa.run WHERE id = $5 AND leased_by = $6 AND epoch = $7 FOR SHARE
), log AS (
    UPDATE osa.run_log SET
        size_bytes = size_bytes + octet_length($4::bytea), is_truncated = is_truncated OR $8::boolean
    FROM held
    WHERE execution_id = $1 AND attempt = $2 AND size_bytes = $3 AND NOT is_closed
    RETURNING true
), added AS (
    INSERT INTO osa.run_log_chunk (execution_id, attempt, start_offset, data)
    SELECT $1, $2, $3, $4 FROM log WHERE octet_length($4::bytea) > 0
)
SELECT EXISTS (SELECT FROM held) AS is_held, EXISTS (SELECT FROM log) AS is_added

-- name: mark_gap
-- $1 execution, $2 attempt, $3 the run's id, $4 worker, $5 epoch
WITH held AS (
    SELECT true FROM osa.run WHERE id = $3 AND leased_by = $4 AND epoch = $5 FOR SHARE
)
UPDATE osa.run_log SET
    gap_offsets = CASE WHEN size_bytes = ANY(gap_offsets) THEN gap_offsets ELSE gap_offsets || size_bytes END
FROM held WHERE execution_id = $1 AND attempt = $2 AND NOT is_closed
RETURNING true

-- name: close
-- $1 execution, $2 attempt, $3 is_truncated
INSERT INTO osa.run_log AS log (execution_id, attempt, is_closed, is_truncated) VALUES ($1, $2, true, $3)
ON CONFLICT (execution_id, attempt) DO UPDATE SET is_closed = true, is_truncated = log.is_truncated OR $3
RETURNING (SELECT run_id FROM osa.hook_execution WHERE id = $1)

-- name: state
-- $1 execution, $2 attempt
SELECT size_bytes, is_closed, is_truncated, gap_offsets FROM osa.run_log WHERE execution_id = $1 AND attempt = $2

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
