-- name: find
-- $1 hook
SELECT t.hook, used.definition, used.convention_count, used.created_at, used.updated_at, judged.*
FROM (
    SELECT DISTINCT hook FROM osa.convention_feature_table WHERE hook = $1
) AS t
CROSS JOIN LATERAL (
    SELECT
        count(*) AS convention_count, min(c.created_at) AS created_at, max(c.created_at) AS updated_at,
        (array_agg(c.definition ORDER BY c.created_at DESC, c.id DESC, c.version DESC))[1] AS definition
    FROM osa.convention_feature_table AS u
    JOIN osa.convention AS c ON c.id = u.convention_id AND c.version = u.convention_version
    WHERE u.hook = t.hook
) AS used
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE verdict = 'PASSED') AS passed,
        count(*) FILTER (WHERE verdict = 'REJECTED') AS rejected,
        count(*) FILTER (WHERE verdict = 'FAILED') AS failed
    FROM osa.hook_execution AS e
    WHERE e.hook = t.hook AND e.verdict IS NOT NULL
) AS judged

-- name: list
-- $1 the last hook before the page, or null; $2 how many
SELECT t.hook, used.definition, used.convention_count, used.created_at, used.updated_at, judged.*
FROM (
    SELECT DISTINCT hook FROM osa.convention_feature_table
    WHERE hook > coalesce($1::text, '')
    ORDER BY hook
    LIMIT $2
) AS t
CROSS JOIN LATERAL (
    SELECT
        count(*) AS convention_count, min(c.created_at) AS created_at, max(c.created_at) AS updated_at,
        (array_agg(c.definition ORDER BY c.created_at DESC, c.id DESC, c.version DESC))[1] AS definition
    FROM osa.convention_feature_table AS u
    JOIN osa.convention AS c ON c.id = u.convention_id AND c.version = u.convention_version
    WHERE u.hook = t.hook
) AS used
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE verdict = 'PASSED') AS passed,
        count(*) FILTER (WHERE verdict = 'REJECTED') AS rejected,
        count(*) FILTER (WHERE verdict = 'FAILED') AS failed
    FROM osa.hook_execution AS e
    WHERE e.hook = t.hook AND e.verdict IS NOT NULL
) AS judged
ORDER BY t.hook

-- name: list_uses
-- $1 hook; $2, $3, $4 created_at, id and version of the last convention before the page, or nulls; $5 how many
SELECT c.definition, c.created_at, c.id, c.version
FROM osa.convention_feature_table AS u
JOIN osa.convention AS c ON c.id = u.convention_id AND c.version = u.convention_version
WHERE
    u.hook = $1
    AND (c.created_at, c.id, c.version) < (coalesce($2::timestamptz, 'infinity'), $3::text, $4::text)
ORDER BY c.created_at DESC, c.id DESC, c.version DESC
LIMIT $5
