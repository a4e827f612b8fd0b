-- name: now
SELECT now()

-- name: limit_statements
-- $1 the longest a statement may take in this transaction
SELECT set_config('statement_timeout', $1, true)
