-- name: append
-- $1 type, $2 what it is about, $3 body (JSON), $4 the handlers it is owed to (text[])
WITH event AS (
    INSERT INTO osa.event (type, key, body) VALUES ($1, $2, $3) RETURNING id
), owed AS (
    INSERT INTO osa.delivery (event_id, handler) SELECT event.id, unnest($4::text[]) FROM event
)
SELECT id FROM event

-- name: claim
-- $1 handlers (text[]), $2 worker, $3 for how long (interval). Every claim is an attempt, also after a lost lease.
WITH due AS (
    SELECT id FROM osa.delivery
    WHERE
        state = 'PENDING'
        AND handler = ANY($1::text[])
        AND next_attempt_at <= clock_timestamp()
        AND (leased_until IS NULL OR leased_until < clock_timestamp())
    ORDER BY id
    LIMIT 1
    FOR NO KEY UPDATE SKIP LOCKED
), claimed AS (
    UPDATE osa.delivery AS d SET
        leased_by = $2, leased_until = clock_timestamp() + $3::interval, epoch = d.epoch + 1,
        attempts = d.attempts + 1, updated_at = now()
    FROM due WHERE d.id = due.id
    RETURNING d.id, d.event_id, d.handler, d.epoch, d.attempts
)
SELECT c.id, c.event_id, c.handler, c.epoch, c.attempts, e.occurred_at, e.body
FROM claimed AS c JOIN osa.event AS e ON e.id = c.event_id

-- name: renew
-- $1 delivery, $2 worker, $3 epoch, $4 for how long from now (interval)
UPDATE osa.delivery SET leased_until = clock_timestamp() + $4::interval, updated_at = now()
WHERE id = $1 AND leased_by = $2 AND epoch = $3
RETURNING true

-- name: finish
-- $1 delivery, $2 worker, $3 epoch
UPDATE osa.delivery SET state = 'DONE', leased_by = NULL, leased_until = NULL, updated_at = now()
WHERE id = $1 AND leased_by = $2 AND epoch = $3
RETURNING true

-- name: fail
-- $1 delivery, $2 worker, $3 epoch, $4 the error, $5 when it is due again; null: never
UPDATE osa.delivery SET
    state = CASE WHEN $5::timestamptz IS NULL THEN 'DEAD' ELSE 'PENDING' END,
    next_attempt_at = coalesce($5, next_attempt_at), last_error = $4,
    leased_by = NULL, leased_until = NULL, updated_at = now()
WHERE id = $1 AND leased_by = $2 AND epoch = $3
RETURNING true

-- name: postpone
-- $1 delivery, $2 worker, $3 epoch, $4 what is in the way, $5 when it is due again; the attempt does not count
UPDATE osa.delivery SET
    state = 'PENDING', attempts = attempts - 1, next_attempt_at = $5, last_error = $4,
    leased_by = NULL, leased_until = NULL, updated_at = now()
WHERE id = $1 AND leased_by = $2 AND epoch = $3
RETURNING true

-- name: deliver_again
-- $1 type, $2 what the event is about, $3 handler. Whoever holds the delivery loses it.
INSERT INTO osa.delivery (event_id, handler)
SELECT id, $3 FROM (
    SELECT id FROM osa.event WHERE type = $1 AND key = $2 ORDER BY id DESC LIMIT 1
) AS latest
ON CONFLICT (event_id, handler) DO UPDATE SET
    state = 'PENDING', attempts = 0, next_attempt_at = now(), leased_by = NULL, leased_until = NULL,
    epoch = delivery.epoch + 1, updated_at = now()
RETURNING true

-- name: find_delivery
-- $1 delivery
SELECT d.*, e.type, e.key, e.occurred_at FROM osa.delivery AS d JOIN osa.event AS e ON e.id = d.event_id WHERE d.id = $1

-- name: lock_delivery
-- $1 delivery
SELECT true FROM osa.delivery WHERE id = $1 FOR NO KEY UPDATE

-- name: list_deliveries
-- $1 the ids of a page's deliveries (bigint[]), in their order; `listed` counts them from 1
SELECT d.*, e.type, e.key, e.occurred_at, page.listed
FROM unnest($1::bigint[]) WITH ORDINALITY AS page (id, listed)
JOIN osa.delivery AS d ON d.id = page.id
JOIN osa.event AS e ON e.id = d.event_id
ORDER BY page.listed

-- name: set_delivery_state
-- $1 delivery, $2 state. Whoever holds the delivery loses it; one that is PENDING is due at once, its attempts counted anew.
UPDATE osa.delivery SET
    state = $2,
    attempts = CASE WHEN $2 = 'PENDING' THEN 0 ELSE attempts END,
    next_attempt_at = CASE WHEN $2 = 'PENDING' THEN clock_timestamp() ELSE next_attempt_at END,
    leased_by = NULL, leased_until = NULL, epoch = epoch + 1, updated_at = now()
WHERE id = $1
RETURNING true

-- name: count_dead
-- By bytes, as the index has it.
SELECT count(*) FROM osa.delivery WHERE state COLLATE "C" = 'DEAD'
