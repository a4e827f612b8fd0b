-- What the service knows. The tables of hooks' results are in a schema of their own, `features`, made as conventions are
-- registered. Names that people give sort by their bytes, whatever the database's locale, so that pages have one order.

CREATE SCHEMA features;

-- One row: the server whose data directory has the bytes of this archive's files.
CREATE TABLE osa.archive (
    is_one boolean NOT NULL DEFAULT true,
    server_id uuid NOT NULL,
    CONSTRAINT archive_is_one_key PRIMARY KEY (is_one),
    CONSTRAINT archive_is_one_check CHECK (is_one)
);

CREATE TABLE osa.convention (
    id text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    definition jsonb NOT NULL,
    state text NOT NULL DEFAULT 'PENDING',
    failure text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT convention_id_version_key PRIMARY KEY (id, version),
    CONSTRAINT convention_state_check CHECK (state IN ('PENDING', 'READY', 'FAILED')),
    CONSTRAINT convention_failure_check CHECK ((failure IS NOT NULL) = (state = 'FAILED'))
);
CREATE INDEX convention_created_at_id_version_idx ON osa.convention (created_at DESC, id DESC, version DESC);

-- The catalog of feature tables: what registration decided. The table has made_version; 0 is: not made yet.
CREATE TABLE osa.feature_table (
    hook text COLLATE "C" NOT NULL,
    spec jsonb NOT NULL,
    version integer NOT NULL DEFAULT 1,
    made_version integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT feature_table_hook_key PRIMARY KEY (hook),
    CONSTRAINT feature_table_made_version_check CHECK (made_version BETWEEN 0 AND version)
);

CREATE TABLE osa.feature_table_version (
    hook text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    spec jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT feature_table_version_hook_version_key PRIMARY KEY (hook, version),
    CONSTRAINT feature_table_version_hook_fk FOREIGN KEY (hook) REFERENCES osa.feature_table (hook)
);

-- Which conventions fill which feature tables; written with the convention.
CREATE TABLE osa.convention_feature_table (
    convention_id text COLLATE "C" NOT NULL,
    convention_version text COLLATE "C" NOT NULL,
    hook text COLLATE "C" NOT NULL,
    CONSTRAINT convention_feature_table_hook_convention_key PRIMARY KEY (hook, convention_id, convention_version),
    CONSTRAINT convention_feature_table_convention_fk
        FOREIGN KEY (convention_id, convention_version) REFERENCES osa.convention (id, version)
);

CREATE TABLE osa.run (
    id uuid NOT NULL,
    source jsonb NOT NULL,
    convention_id text COLLATE "C" NOT NULL,
    convention_version text COLLATE "C" NOT NULL,
    state text NOT NULL,
    failure jsonb,
    rejection_reason text,
    record_id uuid,
    record_version integer,
    last_sequence bigint NOT NULL DEFAULT 0,
    leased_by text,
    leased_until timestamptz,
    epoch bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    ended_at timestamptz,
    CONSTRAINT run_id_key PRIMARY KEY (id),
    CONSTRAINT run_state_check CHECK (
        state IN (
            'PENDING', 'RUNNING', 'PUBLISHING', 'COMPLETED', 'REJECTED', 'FAILED', 'CANCELLING', 'CANCELLED'
        )
    ),
    CONSTRAINT run_record_check CHECK ((record_id IS NOT NULL) = (state = 'COMPLETED')),
    CONSTRAINT run_record_version_check CHECK ((record_id IS NULL) = (record_version IS NULL)),
    CONSTRAINT run_leased_until_check CHECK ((leased_by IS NULL) = (leased_until IS NULL)),
    CONSTRAINT run_convention_fk
        FOREIGN KEY (convention_id, convention_version) REFERENCES osa.convention (id, version)
);
CREATE INDEX run_created_at_id_idx ON osa.run (created_at DESC, id DESC);
-- The queue: small, whatever the number of runs that are over.
CREATE INDEX run_queue_idx ON osa.run (created_at, id)
    WHERE state IN ('PENDING', 'RUNNING', 'PUBLISHING', 'CANCELLING');

CREATE FUNCTION osa.refuse_change_of_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'run % is %: a terminal state never changes', OLD.id, OLD.state
        USING ERRCODE = 'check_violation', SCHEMA = 'osa', TABLE = 'run', CONSTRAINT = 'run_end_check';
END
$$;

CREATE TRIGGER run_end_check BEFORE UPDATE ON osa.run FOR EACH ROW
    WHEN (
        OLD.state IN ('COMPLETED', 'REJECTED', 'FAILED', 'CANCELLED')
        AND (NEW.state, NEW.failure, NEW.rejection_reason, NEW.record_id, NEW.record_version, NEW.ended_at)
            IS DISTINCT FROM
            (OLD.state, OLD.failure, OLD.rejection_reason, OLD.record_id, OLD.record_version, OLD.ended_at)
    )
    EXECUTE FUNCTION osa.refuse_change_of_end();

-- One per hook of the run's convention, in its order; attempts are counted in the row. Feature rows refer to it.
CREATE TABLE osa.hook_execution (
    id uuid NOT NULL,
    run_id uuid NOT NULL,
    ordinal integer NOT NULL,
    hook text COLLATE "C" NOT NULL,
    attempt integer NOT NULL DEFAULT 0,
    state text NOT NULL,
    verdict text,
    rejection_reason text,
    failure jsonb,
    progress jsonb,
    log_bytes bigint NOT NULL DEFAULT 0,
    row_count bigint NOT NULL DEFAULT 0,
    created_at timestamptz,  -- when its first attempt was taken up
    started_at timestamptz,
    ended_at timestamptz,
    provenance jsonb,
    CONSTRAINT hook_execution_id_key PRIMARY KEY (id),
    CONSTRAINT hook_execution_run_id_ordinal_key UNIQUE (run_id, ordinal),
    CONSTRAINT hook_execution_run_id_hook_key UNIQUE (run_id, hook),
    CONSTRAINT hook_execution_run_id_fk FOREIGN KEY (run_id) REFERENCES osa.run (id),
    CONSTRAINT hook_execution_state_check CHECK (
        state IN ('PENDING', 'WAITING', 'RUNNING', 'FINISHED', 'SKIPPED', 'CANCELLED')
    ),
    CONSTRAINT hook_execution_verdict_check CHECK (verdict IN ('PASSED', 'REJECTED', 'FAILED'))
);

-- A run's history. The sequence is taken under the run's row lock: gapless, and in the order of commits.
CREATE TABLE osa.run_event (
    run_id uuid NOT NULL,
    sequence bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    kind text NOT NULL,
    body jsonb NOT NULL,
    CONSTRAINT run_event_run_id_sequence_key PRIMARY KEY (run_id, sequence),
    CONSTRAINT run_event_run_id_fk FOREIGN KEY (run_id) REFERENCES osa.run (id)
);

-- What a container wrote, per attempt: how far it has come, and the bytes in chunks as they came.
CREATE TABLE osa.run_log (
    execution_id uuid NOT NULL,
    attempt integer NOT NULL,
    size_bytes bigint NOT NULL DEFAULT 0,
    is_closed boolean NOT NULL DEFAULT false,
    is_truncated boolean NOT NULL DEFAULT false,
    CONSTRAINT run_log_execution_id_attempt_key PRIMARY KEY (execution_id, attempt),
    CONSTRAINT run_log_execution_id_fk FOREIGN KEY (execution_id) REFERENCES osa.hook_execution (id)
);

CREATE TABLE osa.run_log_chunk (
    execution_id uuid NOT NULL,
    attempt integer NOT NULL,
    start_offset bigint NOT NULL,
    data bytea NOT NULL,
    CONSTRAINT run_log_chunk_execution_id_attempt_start_offset_key PRIMARY KEY (execution_id, attempt, start_offset),
    CONSTRAINT run_log_chunk_execution_id_attempt_fk
        FOREIGN KEY (execution_id, attempt) REFERENCES osa.run_log (execution_id, attempt)
);

CREATE TABLE osa.deposition (
    id uuid NOT NULL,
    convention_id text COLLATE "C" NOT NULL,
    convention_version text COLLATE "C" NOT NULL,
    metadata jsonb NOT NULL,
    file_count integer NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'DRAFT',
    run_id uuid,
    record_id uuid,
    record_version integer,
    rejection_reason text,
    revision bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT deposition_id_key PRIMARY KEY (id),
    CONSTRAINT deposition_state_check CHECK (state IN ('DRAFT', 'SUBMITTED', 'PUBLISHED')),
    CONSTRAINT deposition_record_check CHECK ((record_id IS NOT NULL) = (state = 'PUBLISHED')),
    CONSTRAINT deposition_record_version_check CHECK ((record_id IS NULL) = (record_version IS NULL)),
    CONSTRAINT deposition_convention_fk
        FOREIGN KEY (convention_id, convention_version) REFERENCES osa.convention (id, version),
    CONSTRAINT deposition_run_id_fk
        FOREIGN KEY (run_id) REFERENCES osa.run (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX deposition_created_at_id_idx ON osa.deposition (created_at DESC, id DESC);

CREATE TABLE osa.deposition_file (
    deposition_id uuid NOT NULL,
    file_name text COLLATE "C" NOT NULL,
    key text NOT NULL,
    size_bytes bigint NOT NULL,
    sha256 text NOT NULL,
    media_type text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT deposition_file_deposition_id_file_name_key PRIMARY KEY (deposition_id, file_name),
    CONSTRAINT deposition_file_key_key UNIQUE (key),
    CONSTRAINT deposition_file_deposition_id_fk FOREIGN KEY (deposition_id) REFERENCES osa.deposition (id)
);

CREATE TABLE osa.record (
    id uuid NOT NULL,
    version integer NOT NULL,
    srn text NOT NULL,
    deposition_id uuid NOT NULL,
    run_id uuid NOT NULL,
    convention_id text COLLATE "C" NOT NULL,
    convention_version text COLLATE "C" NOT NULL,
    metadata jsonb NOT NULL,
    file_count integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT record_id_version_key PRIMARY KEY (id, version),
    CONSTRAINT record_srn_key UNIQUE (srn),
    CONSTRAINT record_run_id_key UNIQUE (run_id),
    CONSTRAINT record_deposition_id_fk FOREIGN KEY (deposition_id) REFERENCES osa.deposition (id),
    CONSTRAINT record_run_id_fk FOREIGN KEY (run_id) REFERENCES osa.run (id),
    CONSTRAINT record_convention_fk
        FOREIGN KEY (convention_id, convention_version) REFERENCES osa.convention (id, version)
);
CREATE INDEX record_created_at_id_version_idx ON osa.record (created_at DESC, id DESC, version DESC);
CREATE INDEX record_deposition_id_idx ON osa.record (deposition_id);

-- A record, its run and its deposition are written together, in whatever order.
ALTER TABLE osa.run ADD CONSTRAINT run_record_fk
    FOREIGN KEY (record_id, record_version) REFERENCES osa.record (id, version) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE osa.deposition ADD CONSTRAINT deposition_record_fk
    FOREIGN KEY (record_id, record_version) REFERENCES osa.record (id, version) DEFERRABLE INITIALLY DEFERRED;

-- The audit log. `key` is what the event is about.
CREATE TABLE osa.event (
    id bigint GENERATED ALWAYS AS IDENTITY,
    occurred_at timestamptz NOT NULL DEFAULT now(),
    type text NOT NULL,
    key text NOT NULL,
    body jsonb NOT NULL,
    CONSTRAINT event_id_key PRIMARY KEY (id)
);
CREATE INDEX event_type_key_id_idx ON osa.event (type, key, id DESC);

CREATE TABLE osa.delivery (
    id bigint GENERATED ALWAYS AS IDENTITY,
    event_id bigint NOT NULL,
    handler text NOT NULL,
    state text NOT NULL DEFAULT 'PENDING',
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    leased_by text,
    leased_until timestamptz,
    epoch bigint NOT NULL DEFAULT 0,
    last_error text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT delivery_id_key PRIMARY KEY (id),
    CONSTRAINT delivery_event_id_handler_key UNIQUE (event_id, handler),
    CONSTRAINT delivery_event_id_fk FOREIGN KEY (event_id) REFERENCES osa.event (id),
    CONSTRAINT delivery_state_check CHECK (state IN ('PENDING', 'DONE', 'DEAD')),
    CONSTRAINT delivery_leased_until_check CHECK ((leased_by IS NULL) = (leased_until IS NULL))
);
CREATE INDEX delivery_queue_idx ON osa.delivery (id) WHERE state = 'PENDING';

-- What request ids were answered with.
CREATE TABLE osa.request (
    method text NOT NULL,
    request_id text NOT NULL,
    fingerprint bytea NOT NULL,
    answer bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT request_method_request_id_key PRIMARY KEY (method, request_id)
);
CREATE INDEX request_created_at_idx ON osa.request (created_at);
