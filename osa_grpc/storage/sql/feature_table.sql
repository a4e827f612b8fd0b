-- name: lock
-- $1 hook
SELECT pg_advisory_xact_lock(hashtextextended('feature table ' || $1::text, 0))

-- name: limit_lock_waits
-- The rest of the transaction waits for no lock for long: while it waits, every reader that comes waits behind it.
SELECT set_config('lock_timeout', '2s', true)

-- name: find
-- $1 hook
SELECT t.hook, t.spec, t.version, t.made_version, made.spec AS made_spec, t.created_at, t.updated_at
FROM osa.feature_table AS t
LEFT JOIN osa.feature_table_version AS made ON made.hook = t.hook AND made.version = t.made_version
WHERE t.hook = $1

-- name: list
-- $1 the last hook before the page, or null; $2 how many
SELECT t.hook, t.spec, t.version, t.made_version, made.spec AS made_spec, t.created_at, t.updated_at
FROM osa.feature_table AS t
JOIN osa.feature_table_version AS made ON made.hook = t.hook AND made.version = t.made_version
WHERE t.hook > coalesce($1::text, '')
ORDER BY t.hook
LIMIT $2

-- name: conventions
-- $1 hooks (text[]): the conventions that use each, the newest 100
SELECT h.hook, c.convention_id, c.convention_version
FROM unnest($1::text[]) AS h (hook)
CROSS JOIN LATERAL (
    SELECT cft.convention_id, cft.convention_version, convention.created_at
    FROM osa.convention_feature_table AS cft
    JOIN osa.convention ON convention.id = cft.convention_id AND convention.version = cft.convention_version
    WHERE cft.hook = h.hook
    ORDER BY convention.created_at DESC, convention.id DESC, convention.version DESC
    LIMIT 100
) AS c
ORDER BY h.hook, c.created_at DESC, c.convention_id DESC, c.convention_version DESC

-- name: record
-- $1 hook, $2 spec (JSON): a new entry, or the next version of the one there is
WITH entry AS (
    INSERT INTO osa.feature_table AS t (hook, spec) VALUES ($1, $2)
    ON CONFLICT (hook) DO UPDATE SET spec = excluded.spec, version = t.version + 1, updated_at = now()
    RETURNING hook, version, spec
)
INSERT INTO osa.feature_table_version (hook, version, spec) SELECT hook, version, spec FROM entry

-- name: mark_made
-- $1 hook, $2 the version that the table has now
UPDATE osa.feature_table SET made_version = $2 WHERE hook = $1

-- name: columns_there
-- $1 hook: what Postgres has of that name, nothing when there is nothing
SELECT
    a.attname AS name,
    CASE WHEN c.relkind = 'r' THEN format_type(a.atttypid, a.atttypmod) ELSE 'no table' END AS type,
    a.attnotnull AS required
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relname = $1::text AND c.relnamespace = 'features'::regnamespace
ORDER BY a.attnum

-- name: rows_estimated
-- $1 hook: how many rows Postgres's statistics say the table has
SELECT greatest(c.reltuples::bigint, pg_stat_get_live_tuples(c.oid)) FROM pg_class AS c
WHERE c.relname = $1::text AND c.relnamespace = 'features'::regnamespace
