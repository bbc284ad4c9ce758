-- Role: the tables of jobs in chunks. Triggers check who writes to the tables, and act on what was written. The coordinator reads and
-- writes the tables in c-shim/jobs/; a worker records in them what is done.

CREATE TABLE aside.parallel_job (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    owner text NOT NULL,
    inert boolean NOT NULL DEFAULT false,
    command text NOT NULL,
    target text,
    chunk_by text NOT NULL CHECK (chunk_by IN ('key', 'query', 'partition', 'ctid')),
    split text[] NOT NULL,
    low_type text,
    high_type text,
    chunk_rows int CHECK (chunk_rows > 0),
    workers int NOT NULL CHECK (workers > 0),
    max_attempts int NOT NULL CHECK (max_attempts > 0),
    throttle jsonb,
    limits jsonb NOT NULL DEFAULT '{}',
    follow boolean NOT NULL,
    estimate bigint,
    state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'done_with_errors', 'failed', 'cancelled')),
    paused boolean NOT NULL DEFAULT false,
    frontier text,
    cut boolean NOT NULL DEFAULT false,
    waits_for text,
    created timestamptz NOT NULL DEFAULT now(),
    finished timestamptz,
    sqlstate text,
    message text,
    detail text,
    hint text,
    context text,
    maker oid
);
CREATE UNIQUE INDEX parallel_job_name ON aside.parallel_job (name, maker);
COMMENT ON TABLE aside.parallel_job IS 'jobs in chunks, as parallel_start made them; the view aside.parallel_jobs shows them';
COMMENT ON COLUMN aside.parallel_job.owner IS 'name of the role that the job acts for; the owner of the job''s proxy is that role';
COMMENT ON COLUMN aside.parallel_job.inert IS 'true if the job was restored where its role did not exist; then the job belongs to nobody';
COMMENT ON COLUMN aside.parallel_job.maker IS
    'role that started the job; by the index, two sessions of that role cannot start it at the same time; NULL if another role owns it and the maker has started one anew';
COMMENT ON COLUMN aside.parallel_job.split IS 'how the chunks are cut off, as aside.parallel_target wrote it';
COMMENT ON COLUMN aside.parallel_job.limits IS 'the throttle in units of the coordinator''s';
COMMENT ON COLUMN aside.parallel_job.estimate IS 'about how many rows there were at the start';
COMMENT ON COLUMN aside.parallel_job.frontier IS 'behind the last chunk that was cut off';
COMMENT ON COLUMN aside.parallel_job.cut IS 'true if there is nothing behind the frontier';

CREATE TABLE aside.parallel_chunk (
    job bigint NOT NULL,
    number bigint NOT NULL,
    parent bigint,
    low text,
    high text,
    estimate bigint,
    state text NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed', 'split')),
    attempt int NOT NULL DEFAULT 0,
    failures int NOT NULL DEFAULT 0,
    rows bigint,
    started timestamptz,
    finished timestamptz,
    pid int,
    sqlstate text,
    message text,
    detail text,
    hint text,
    context text,
    PRIMARY KEY (job, number)
);
CREATE INDEX parallel_chunk_waiting ON aside.parallel_chunk (job, number) WHERE state = 'waiting';
CREATE INDEX parallel_chunk_running ON aside.parallel_chunk (job, number) WHERE state = 'running';
CREATE INDEX parallel_chunk_failed ON aside.parallel_chunk (job, number) WHERE state = 'failed';
CREATE INDEX parallel_chunk_split ON aside.parallel_chunk (job, number) WHERE state = 'split';
COMMENT ON TABLE aside.parallel_chunk IS 'chunks of jobs; they are kept until parallel_drop; the view aside.parallel_chunks shows them';
COMMENT ON COLUMN aside.parallel_chunk.low IS 'the first key, as text; NULL in both bounds means the rows without a key';
COMMENT ON COLUMN aside.parallel_chunk.failures IS 'attempts that failed and count';
COMMENT ON COLUMN aside.parallel_chunk.parent IS 'the chunk that was divided';

COMMENT ON SEQUENCE aside.parallel_job_id_seq IS 'Gives each job its number.';

SELECT pg_catalog.pg_extension_config_dump('aside.parallel_job', '');
SELECT pg_catalog.pg_extension_config_dump('aside.parallel_chunk', '');
SELECT pg_catalog.pg_extension_config_dump('aside.parallel_job_id_seq', '');
-- The owner of the database may dump the jobs.
GRANT SELECT ON aside.parallel_job, aside.parallel_chunk, aside.parallel_job_id_seq TO pg_database_owner;

SELECT aside.guard_table('aside.parallel_job', 'job', 'owner, inert, paused');
SELECT aside.guard_table('aside.parallel_chunk');
