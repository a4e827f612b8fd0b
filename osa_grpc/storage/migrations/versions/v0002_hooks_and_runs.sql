-- Runs that wait for a person or for their time, and runs that are retries of others.
ALTER TABLE osa.run
    ADD COLUMN retry_of uuid,
    ADD COLUMN review jsonb,
    ADD COLUMN waits_until timestamptz,
    ADD CONSTRAINT run_retry_of_fk FOREIGN KEY (retry_of) REFERENCES osa.run (id),
    DROP CONSTRAINT run_state_check,
    ADD CONSTRAINT run_state_check CHECK (
        state IN (
            'PENDING', 'RUNNING', 'AWAITING_REVIEW', 'PUBLISHING', 'COMPLETED', 'REJECTED', 'FAILED', 'CANCELLING',
            'CANCELLED'
        )
    ),
    ADD CONSTRAINT run_review_check CHECK (
        review IS NULL
        OR CASE review ->> 'decision' WHEN 'REJECT' THEN state = 'REJECTED' ELSE state IN ('PUBLISHING', 'COMPLETED', 'FAILED') END
    );
-- A run is retried once: after that it is not its deposition's latest.
CREATE UNIQUE INDEX run_retry_of_idx ON osa.run (retry_of) WHERE retry_of IS NOT NULL;
DROP TRIGGER run_end_check ON osa.run;
CREATE TRIGGER run_end_check BEFORE UPDATE ON osa.run FOR EACH ROW
    WHEN (
        OLD.state IN ('COMPLETED', 'REJECTED', 'FAILED', 'CANCELLED')
        AND (NEW.state, NEW.failure, NEW.rejection_reason, NEW.record_id, NEW.record_version, NEW.ended_at, NEW.review)
            IS DISTINCT FROM
            (OLD.state, OLD.failure, OLD.rejection_reason, OLD.record_id, OLD.record_version, OLD.ended_at, OLD.review)
    )
    EXECUTE FUNCTION osa.refuse_change_of_end();
-- The queue: what was under way, by when it may go on; what waits, by convention; and what is held (which a renewed lease does
-- not touch).
DROP INDEX osa.run_queue_idx;
CREATE INDEX run_under_way_idx ON osa.run (coalesce(waits_until, '-infinity'), created_at, id)
    WHERE state IN ('RUNNING', 'PUBLISHING', 'CANCELLING');
CREATE INDEX run_pending_idx ON osa.run (convention_id, convention_version, created_at, id) WHERE state = 'PENDING';
CREATE INDEX run_held_idx ON osa.run (convention_id, convention_version)
    WHERE leased_by IS NOT NULL AND state IN ('PENDING', 'RUNNING', 'PUBLISHING', 'CANCELLING');

-- What an attempt waits for, what the retry policy goes by, and how far the history has its progress.
ALTER TABLE osa.hook_execution
    ADD COLUMN waiting jsonb,
    ADD COLUMN memory_bytes bigint,
    ADD COLUMN failure_count integer NOT NULL DEFAULT 0,
    ADD COLUMN progress_count bigint NOT NULL DEFAULT 0;
CREATE INDEX hook_execution_hook_verdict_idx ON osa.hook_execution (hook, verdict) WHERE verdict IS NOT NULL;

-- Offsets before which bytes may be missing, or be there twice: the hook outlived the server that read its log.
ALTER TABLE osa.run_log ADD COLUMN gap_offsets bigint[] NOT NULL DEFAULT '{}';

-- Dead deliveries that need not be delivered.
ALTER TABLE osa.delivery
    DROP CONSTRAINT delivery_state_check,
    ADD CONSTRAINT delivery_state_check CHECK (state IN ('PENDING', 'DONE', 'DEAD', 'DISCARDED'));
CREATE INDEX delivery_dead_idx ON osa.delivery (id) WHERE state COLLATE "C" = 'DEAD';

-- What lists are usually asked for, the newest first. By bytes, as filters compare.
CREATE INDEX run_state_created_at_id_idx ON osa.run (state COLLATE "C", created_at DESC, id DESC);
CREATE INDEX run_convention_created_at_id_idx
    ON osa.run (convention_id, convention_version, created_at DESC, id DESC);
CREATE INDEX run_deposition_created_at_id_idx
    ON osa.run (((source ->> 'deposition') COLLATE "C"), created_at DESC, id DESC);
CREATE INDEX deposition_state_created_at_id_idx ON osa.deposition (state COLLATE "C", created_at DESC, id DESC);
CREATE INDEX deposition_convention_created_at_id_idx
    ON osa.deposition (convention_id, convention_version, created_at DESC, id DESC);
CREATE INDEX record_convention_created_at_id_version_idx
    ON osa.record (convention_id, convention_version, created_at DESC, id DESC, version DESC);
