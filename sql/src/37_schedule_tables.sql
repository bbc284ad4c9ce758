-- Role: the tables of schedules. Triggers check who writes to the tables, and act on what was written. The coordinator reads and writes
-- the tables in c-shim/schedules/store.c and record.c.

CREATE TABLE aside.schedule (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    owner text NOT NULL,
    inert boolean NOT NULL DEFAULT false,
    spec text NOT NULL,
    rule text NOT NULL,
    timezone text NOT NULL,
    command text NOT NULL,
    overlap text NOT NULL CHECK (overlap IN ('skip', 'queue', 'allow', 'cancel_running')),
    misfire text NOT NULL CHECK (misfire IN ('once', 'skip', 'all')),
    misfire_deadline interval CHECK (misfire_deadline > interval '0'),
    max_attempts int NOT NULL CHECK (max_attempts > 0),
    backoff interval NOT NULL CHECK (backoff >= interval '0'),
    timeout interval CHECK (timeout > interval '0'),
    jitter interval CHECK (jitter >= interval '0'),
    until timestamptz,
    max_runs int CHECK (max_runs > 0),
    priority int NOT NULL,
    database text,
    history text NOT NULL CHECK (history IN ('all', 'failures', 'none')),
    paused boolean NOT NULL,
    created timestamptz NOT NULL DEFAULT now(),
    revision bigint NOT NULL DEFAULT 1,
    next_due timestamptz,
    next_run_at timestamptz,
    last_due timestamptz,
    fired bigint NOT NULL DEFAULT 0,
    failures int NOT NULL DEFAULT 0,
    maker oid,
    missed bigint NOT NULL DEFAULT 0,
    skipped bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX schedule_name ON aside.schedule (name, maker);
COMMENT ON TABLE aside.schedule IS 'schedules, as schedule_set made them; the view aside.schedules shows them';
COMMENT ON COLUMN aside.schedule.owner IS 'name of the role that the schedule acts for; the owner of the schedule''s proxy is that role';
COMMENT ON COLUMN aside.schedule.inert IS 'true if the schedule was restored where its role did not exist; then the schedule belongs to nobody';
COMMENT ON COLUMN aside.schedule.rule IS 'the specification in a form that always means the same, whatever the time, the settings or the zone of the reader';
COMMENT ON COLUMN aside.schedule.database IS 'database in which the command runs; NULL means this database';
COMMENT ON COLUMN aside.schedule.next_due IS 'the next due time; next_run_at is this time plus the jitter';
COMMENT ON COLUMN aside.schedule.fired IS 'number of due times that became runs';
COMMENT ON COLUMN aside.schedule.failures IS 'number of runs that have failed since the last successful one';
COMMENT ON COLUMN aside.schedule.missed IS 'number of due times that have no run of their own, for another run stands for them';
COMMENT ON COLUMN aside.schedule.skipped IS 'number of due times that were skipped';
COMMENT ON COLUMN aside.schedule.failed IS 'number of runs that have failed for good';
COMMENT ON COLUMN aside.schedule.maker IS
    'role that made the schedule; by the index, two sessions of that role cannot make it at the same time; NULL if another role owns it and the maker has made one anew';

CREATE SEQUENCE aside.schedule_run_id;
CREATE TABLE aside.schedule_run (
    id bigint NOT NULL,
    attempt int NOT NULL,
    schedule bigint NOT NULL,
    due timestamptz NOT NULL,
    missed int NOT NULL DEFAULT 0,
    manual boolean NOT NULL DEFAULT false,
    state text NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed', 'skipped', 'cancelled', 'timed_out', 'lost')),
    not_before timestamptz NOT NULL,
    cancel boolean NOT NULL DEFAULT false,
    started timestamptz,
    finished timestamptz,
    pid int,
    rows bigint,
    command_tag text,
    sqlstate text,
    message text,
    detail text,
    hint text,
    context text,
    messages text,
    PRIMARY KEY (id, attempt)
);
CREATE INDEX schedule_run_schedule ON aside.schedule_run (schedule, id);
CREATE INDEX schedule_run_open ON aside.schedule_run (id) WHERE state IN ('waiting', 'running');
CREATE INDEX schedule_run_finished ON aside.schedule_run (finished);
COMMENT ON TABLE aside.schedule_run IS
    'one row for each attempt of a run, and one for each due time that was skipped; kept for aside.history_retention; the view aside.schedule_runs shows the rows';
COMMENT ON COLUMN aside.schedule_run.missed IS 'number of earlier due times that have no row of their own, counted up to 1000';

COMMENT ON SEQUENCE aside.schedule_id_seq IS 'Gives each schedule its number.';
COMMENT ON SEQUENCE aside.schedule_run_id IS 'Gives each run its number.';

SELECT pg_catalog.pg_extension_config_dump('aside.schedule', '');
SELECT pg_catalog.pg_extension_config_dump('aside.schedule_id_seq', '');
-- The owner of the database may dump the schedules.
GRANT SELECT ON aside.schedule, aside.schedule_id_seq TO pg_database_owner;

SELECT aside.guard_table('aside.schedule', 'schedule', 'revision, owner, inert');
SELECT aside.guard_table('aside.schedule_run');
