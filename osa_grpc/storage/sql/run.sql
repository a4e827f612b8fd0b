-- name: insert
-- $1 id, $2 source (JSON), $3, $4 the convention's id and version, $5 state, $6 created_at,
-- $7 the executions in order (JSON), $8 the run that it is a retry of
WITH run AS (
    INSERT INTO osa.run (id, source, convention_id, convention_version, state, created_at, retry_of)
    VALUES ($1, $2, $3, $4, $5, $6, $8)
)
INSERT INTO osa.hook_execution (
    id, run_id, ordinal, hook, attempt, state, verdict, rejection_reason, failure, progress, log_bytes, row_count,
    created_at, started_at, ended_at, provenance, waiting, memory_bytes, failure_count, progress_count
)
SELECT
    e.id, $1, e.ordinality, e.hook, e.attempt, e.state, e.verdict, e.rejection_reason, e.failure, e.progress,
    e.log_bytes, e.row_count, e.created_at, e.started_at, e.ended_at, e.provenance,
    e.waiting, e.memory_bytes, e.failure_count, e.progress_count
FROM jsonb_populate_recordset(NULL::osa.hook_execution, $7) WITH ORDINALITY AS e

-- name: find
-- $1 id
SELECT r.*, (
    SELECT jsonb_agg(to_jsonb(e) - 'run_id' - 'ordinal' ORDER BY e.ordinal)
    FROM osa.hook_execution AS e WHERE e.run_id = r.id
) AS executions
FROM osa.run AS r WHERE r.id = $1

-- name: list
-- $1 the ids of a page's runs (uuid[]), in their order; `listed` counts them from 1
SELECT r.*, (
    SELECT jsonb_agg(to_jsonb(e) - 'run_id' - 'ordinal' ORDER BY e.ordinal)
    FROM osa.hook_execution AS e WHERE e.run_id = r.id
) AS executions, page.listed
FROM unnest($1::uuid[]) WITH ORDINALITY AS page (id, listed)
JOIN osa.run AS r ON r.id = page.id
ORDER BY page.listed

-- name: claim
-- $1 worker, $2 for how long (interval). The states are spelled out for the indexes. `queue` is a loose index scan: one look
-- for each convention, however many of its runs are pending. `pending` locks in the order of `turn`, and no more than it takes.
WITH RECURSIVE under_way AS (
    SELECT id FROM osa.run
    WHERE
        state IN ('RUNNING', 'PUBLISHING', 'CANCELLING')
        AND (leased_until IS NULL OR leased_until < clock_timestamp())
        AND coalesce(waits_until, '-infinity') < now()
    ORDER BY coalesce(waits_until, '-infinity'), created_at, id
    LIMIT 1
    FOR NO KEY UPDATE SKIP LOCKED
), queue AS (
    (
        SELECT convention_id, convention_version, created_at FROM osa.run WHERE state = 'PENDING'
        ORDER BY convention_id, convention_version, created_at, id
        LIMIT 1
    )
    UNION ALL
    SELECT next.* FROM queue AS before CROSS JOIN LATERAL (
        SELECT convention_id, convention_version, created_at FROM osa.run
        WHERE
            state = 'PENDING'
            AND (convention_id, convention_version) > (before.convention_id, before.convention_version)
        ORDER BY convention_id, convention_version, created_at, id
        LIMIT 1
    ) AS next
), held AS (
    SELECT convention_id, convention_version, count(*) AS count FROM osa.run
    WHERE
        leased_by IS NOT NULL AND state IN ('PENDING', 'RUNNING', 'PUBLISHING', 'CANCELLING')
        AND leased_until >= clock_timestamp()
    GROUP BY convention_id, convention_version
), turn AS MATERIALIZED (
    SELECT queue.convention_id, queue.convention_version
    FROM queue LEFT JOIN held USING (convention_id, convention_version)
    ORDER BY coalesce(held.count, 0), queue.created_at
), pending AS (
    SELECT oldest.id FROM turn CROSS JOIN LATERAL (
        SELECT id FROM osa.run
        WHERE
            state = 'PENDING'
            AND convention_id = turn.convention_id AND convention_version = turn.convention_version
            AND (leased_until IS NULL OR leased_until < clock_timestamp())
        ORDER BY created_at, id
        LIMIT 1
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS oldest
    WHERE NOT EXISTS (SELECT FROM under_way)
    LIMIT 1
), free AS (
    SELECT id FROM under_way UNION ALL SELECT id FROM pending
)
UPDATE osa.run AS r SET leased_by = $1, leased_until = clock_timestamp() + $2::interval, epoch = r.epoch + 1
FROM free WHERE r.id = free.id
RETURNING r.id, r.epoch

-- name: claim_without_hooks
-- $1 worker, $2 for how long (interval)
WITH free AS (
    SELECT id FROM osa.run
    WHERE
        state IN ('PUBLISHING', 'CANCELLING')
        AND (leased_until IS NULL OR leased_until < clock_timestamp())
    ORDER BY coalesce(waits_until, '-infinity'), created_at, id
    LIMIT 1
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE osa.run AS r SET leased_by = $1, leased_until = clock_timestamp() + $2::interval, epoch = r.epoch + 1
FROM free WHERE r.id = free.id
RETURNING r.id, r.epoch

-- name: renew
-- $1 id, $2 worker, $3 epoch, $4 for how long from now (interval)
UPDATE osa.run SET leased_until = clock_timestamp() + $4::interval
WHERE id = $1 AND leased_by = $2 AND epoch = $3
RETURNING true

-- name: release
-- $1 id, $2 worker, $3 epoch, $4 before which time nobody is to claim it, or null: whether there is something left for another
-- worker to do now.
UPDATE osa.run SET leased_by = NULL, leased_until = NULL, waits_until = $4
WHERE id = $1 AND leased_by = $2 AND epoch = $3
RETURNING state IN ('PENDING', 'RUNNING', 'PUBLISHING', 'CANCELLING') AND $4::timestamptz IS NULL

-- name: lock
-- $1 id, $2 worker, $3 epoch
SELECT true FROM osa.run WHERE id = $1 AND leased_by = $2 AND epoch = $3 FOR NO KEY UPDATE

-- name: lock_unleased
-- $1 id
SELECT true FROM osa.run WHERE id = $1 FOR NO KEY UPDATE

-- name: save
-- $1 id, $2 state, $3 failure (JSON), $4 rejection_reason, $5, $6 the record's id and version, $7 started_at,
-- $8 ended_at, $9 the states that this one may follow (text[]), $10 review (JSON). Whether
-- nobody holds it; no row when the stored state may not be followed. Whoever changes a run that waits for its time ends the wait.
UPDATE osa.run SET
    state = $2, failure = $3, rejection_reason = $4, record_id = $5, record_version = $6, started_at = $7, ended_at = $8,
    review = $10, waits_until = NULL
WHERE id = $1 AND state = ANY($9::text[])
RETURNING leased_until IS NULL OR leased_until < clock_timestamp()

-- name: save_executions
-- $1 the run's id, $2 the executions (JSON). Those that are as they were cost no write.
UPDATE osa.hook_execution AS e SET
    attempt = n.attempt, state = n.state, verdict = n.verdict, rejection_reason = n.rejection_reason,
    failure = n.failure, progress = n.progress, log_bytes = n.log_bytes, row_count = n.row_count,
    created_at = n.created_at, started_at = n.started_at, ended_at = n.ended_at, provenance = n.provenance,
    waiting = n.waiting, memory_bytes = n.memory_bytes, failure_count = n.failure_count, progress_count = n.progress_count
FROM jsonb_populate_recordset(NULL::osa.hook_execution, $2) AS n
WHERE
    e.run_id = $1 AND e.id = n.id
    AND (
        e.attempt, e.state, e.verdict, e.rejection_reason, e.failure, e.progress, e.log_bytes, e.row_count,
        e.created_at, e.started_at, e.ended_at, e.provenance,
        e.waiting, e.memory_bytes, e.failure_count, e.progress_count
    ) IS DISTINCT FROM (
        n.attempt, n.state, n.verdict, n.rejection_reason, n.failure, n.progress, n.log_bytes, n.row_count,
        n.created_at, n.started_at, n.ended_at, n.provenance,
        n.waiting, n.memory_bytes, n.failure_count, n.progress_count
    )

-- name: append
-- $1 id, $2 kinds (text[]), $3 bodies (text[] of JSON). The clock is read under the row's lock: times follow sequences.
WITH run AS (
    UPDATE osa.run SET last_sequence = last_sequence + cardinality($2::text[]) WHERE id = $1 RETURNING last_sequence
), appended AS (
    INSERT INTO osa.run_event (run_id, sequence, occurred_at, kind, body)
    SELECT
        $1, run.last_sequence - cardinality($2::text[]) + e.ordinality, clock_timestamp(), e.kind, e.body::jsonb
    FROM run, unnest($2::text[], $3::text[]) WITH ORDINALITY AS e (kind, body, ordinality)
)
SELECT last_sequence FROM run

-- name: events_after
-- $1 id, $2 the sequence after which to read, $3 how many. One snapshot for the run and its events; a row without a
-- sequence when there are none.
SELECT
    r.last_sequence, r.state IN ('COMPLETED', 'REJECTED', 'FAILED', 'CANCELLED') AS is_over,
    e.sequence, e.occurred_at, e.body
FROM osa.run AS r
LEFT JOIN LATERAL (
    SELECT sequence, occurred_at, body FROM osa.run_event
    WHERE run_id = r.id AND sequence > $2::bigint
    ORDER BY sequence LIMIT $3
) AS e ON true
WHERE r.id = $1
ORDER BY e.sequence
