-- name: statement_timeout
SELECT current_setting('statement_timeout')

-- name: set_statement_timeout
-- $1 duration, for the rest of the transaction
SELECT set_config('statement_timeout', $1, true)
