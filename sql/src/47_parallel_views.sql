-- Role: what users read of jobs in chunks.

CREATE VIEW aside.parallel_jobs WITH (security_barrier) AS
    SELECT j.id, j.name, coalesce(pg_catalog.pg_get_userbyid(j.role), j.owner) AS owner, j.target, j.chunk_by,
        CASE WHEN a.may THEN j.command END AS command,
        CASE WHEN j.state = 'running' AND j.paused THEN 'paused' ELSE j.state END AS state,
        CASE WHEN j.state = 'running' AND NOT j.paused THEN j.waits_for END AS waits_for,
        c.done AS chunks_done, c.failed AS chunks_failed, c.running AS chunks_running, c.waiting AS chunks_waiting,
        c.rows_done, t.total AS rows_total,
        CASE WHEN j.state = 'done' THEN 100 WHEN t.total > 0 THEN pg_catalog.trunc(least(100.0 * c.rows_done / t.total, 100), 1) END AS percent,
        pg_catalog.round(r.rate, 1) AS rate,
        CASE WHEN j.state = 'running' AND NOT j.paused AND r.rate > 0
            THEN pg_catalog.make_interval(secs => pg_catalog.round(greatest(t.total - c.rows_done, 0) / r.rate)) END AS eta,
        j.workers, j.max_attempts, j.chunk_rows, j.throttle, j.follow, j.created, c.started, j.finished,
        CASE WHEN a.may THEN j.sqlstate END AS sqlstate, CASE WHEN a.may THEN j.message END AS message,
        CASE WHEN a.may THEN j.detail END AS detail, CASE WHEN a.may THEN j.hint END AS hint,
        coalesce(aside.definition_reason(j.inert, j.owner, j.role), (SELECT aside.coordinator_reason())) AS reason
    FROM aside.parallel_owners j,
        LATERAL (SELECT coalesce(pg_catalog.pg_has_role(j.role, 'USAGE'), false)
            OR (SELECT u.rolsuper FROM pg_catalog.pg_roles u WHERE u.rolname = current_user) AS may) a,
        LATERAL (SELECT count(*) FILTER (WHERE c.state = 'done') AS done, count(*) FILTER (WHERE c.state = 'failed') AS failed,
            count(*) FILTER (WHERE c.state = 'running') AS running, count(*) FILTER (WHERE c.state = 'waiting') AS waiting,
            coalesce(pg_catalog.sum(c.estimate) FILTER (WHERE c.state = 'done'), 0) AS rows_done,
            coalesce(pg_catalog.sum(c.estimate) FILTER (WHERE c.state <> 'split'), 0) AS rows_cut,
            pg_catalog.min(c.started) AS started, pg_catalog.max(c.finished) FILTER (WHERE c.state = 'done') AS last_done
            FROM aside.parallel_chunk c WHERE c.job = j.id) c,
        LATERAL (SELECT CASE WHEN j.cut THEN c.rows_cut WHEN j.estimate > 0 THEN greatest(j.estimate, c.rows_cut) END AS total) t,
        LATERAL (SELECT c.rows_done / nullif(extract(epoch FROM c.last_done - c.started), 0) AS rate) r;
CREATE VIEW aside.parallel_chunks WITH (security_barrier) AS
    SELECT j.name AS job, pg_catalog.pg_get_userbyid(j.role) AS owner, c.number, c.low, c.high, c.estimate AS rows_estimated, c.state, c.attempt,
        c.parent, c.rows, c.started, c.finished, c.finished - c.started AS duration, c.pid, c.sqlstate, c.message, c.detail, c.hint, c.context
    FROM aside.parallel_chunk c JOIN aside.parallel_owners j ON j.id = c.job
    WHERE pg_catalog.pg_has_role(j.role, 'USAGE') OR (SELECT u.rolsuper FROM pg_catalog.pg_roles u WHERE u.rolname = current_user);

COMMENT ON VIEW aside.parallel_jobs IS 'jobs in chunks: how far each has come, how fast it is, and when it will be done';
COMMENT ON COLUMN aside.parallel_jobs.id IS 'Number of the job.';
COMMENT ON COLUMN aside.parallel_jobs.name IS 'Name of the job.';
COMMENT ON COLUMN aside.parallel_jobs.owner IS 'Role that the command runs as.';
COMMENT ON COLUMN aside.parallel_jobs.target IS 'Table whose rows are split.';
COMMENT ON COLUMN aside.parallel_jobs.chunk_by IS 'How the rows are split: key, query, partition, or ctid.';
COMMENT ON COLUMN aside.parallel_jobs.command IS 'Command that runs for each chunk. Shown to those who may act as the owner.';
COMMENT ON COLUMN aside.parallel_jobs.state IS 'Running, paused, done, done_with_errors, failed, or cancelled.';
COMMENT ON COLUMN aside.parallel_jobs.waits_for IS 'Limit of the throttle that holds the job back. NULL if none does.';
COMMENT ON COLUMN aside.parallel_jobs.chunks_done IS 'Chunks that are done.';
COMMENT ON COLUMN aside.parallel_jobs.chunks_failed IS 'Chunks that have failed for good.';
COMMENT ON COLUMN aside.parallel_jobs.chunks_running IS 'Chunks that workers are at.';
COMMENT ON COLUMN aside.parallel_jobs.chunks_waiting IS 'Chunks that are cut off and wait. The job cuts off a few at a time.';
COMMENT ON COLUMN aside.parallel_jobs.rows_done IS 'About how many rows the chunks have that are done.';
COMMENT ON COLUMN aside.parallel_jobs.rows_total IS 'About how many rows there are. NULL if nobody knows: the table was never analyzed.';
COMMENT ON COLUMN aside.parallel_jobs.percent IS 'How much of the job is done.';
COMMENT ON COLUMN aside.parallel_jobs.rate IS 'Rows that are done in a second, on average.';
COMMENT ON COLUMN aside.parallel_jobs.eta IS 'Time that is left, at this rate.';
COMMENT ON COLUMN aside.parallel_jobs.workers IS 'Workers that the job has at most.';
COMMENT ON COLUMN aside.parallel_jobs.max_attempts IS 'Attempts of a chunk, before it is divided or has failed.';
COMMENT ON COLUMN aside.parallel_jobs.chunk_rows IS 'Rows of a chunk. NULL if chunks are to take about a second.';
COMMENT ON COLUMN aside.parallel_jobs.throttle IS 'What the job must not exceed.';
COMMENT ON COLUMN aside.parallel_jobs.follow IS 'True if rows that come above the last key while the job runs belong to it.';
COMMENT ON COLUMN aside.parallel_jobs.created IS 'Time when the job was started.';
COMMENT ON COLUMN aside.parallel_jobs.started IS 'Time when its first chunk began.';
COMMENT ON COLUMN aside.parallel_jobs.finished IS 'Time when the job ended.';
COMMENT ON COLUMN aside.parallel_jobs.sqlstate IS 'SQLSTATE of the error that ended the job. Shown to those who may act as the owner.';
COMMENT ON COLUMN aside.parallel_jobs.message IS 'Message of that error.';
COMMENT ON COLUMN aside.parallel_jobs.detail IS 'Detail of that error.';
COMMENT ON COLUMN aside.parallel_jobs.hint IS 'Hint of that error.';
COMMENT ON COLUMN aside.parallel_jobs.reason IS 'Why the job cannot go on now. NULL if it can.';
COMMENT ON VIEW aside.parallel_chunks IS 'chunks of jobs, with what became of each; kept until the job is dropped';
COMMENT ON COLUMN aside.parallel_chunks.job IS 'Name of the job.';
COMMENT ON COLUMN aside.parallel_chunks.owner IS 'Role that the command runs as.';
COMMENT ON COLUMN aside.parallel_chunks.number IS 'Number of the chunk in its job.';
COMMENT ON COLUMN aside.parallel_chunks.low IS 'Lower bound, inclusive. NULL in both bounds: the rows without a key.';
COMMENT ON COLUMN aside.parallel_chunks.high IS 'Upper bound, inclusive.';
COMMENT ON COLUMN aside.parallel_chunks.rows_estimated IS 'About how many rows were between the bounds when the chunk was cut off.';
COMMENT ON COLUMN aside.parallel_chunks.state IS 'Waiting, running, done, failed, or split: divided into others.';
COMMENT ON COLUMN aside.parallel_chunks.attempt IS 'Number of the last attempt.';
COMMENT ON COLUMN aside.parallel_chunks.parent IS 'Chunk that was divided into this one and others.';
COMMENT ON COLUMN aside.parallel_chunks.rows IS 'Rows that the last statement processed.';
COMMENT ON COLUMN aside.parallel_chunks.started IS 'Time when the last attempt began.';
COMMENT ON COLUMN aside.parallel_chunks.finished IS 'Time when the last attempt ended.';
COMMENT ON COLUMN aside.parallel_chunks.duration IS 'How long the last attempt took.';
COMMENT ON COLUMN aside.parallel_chunks.pid IS 'Process that ran the last attempt that has ended.';
COMMENT ON COLUMN aside.parallel_chunks.sqlstate IS 'SQLSTATE of the last error.';
COMMENT ON COLUMN aside.parallel_chunks.message IS 'Message of the last error.';
COMMENT ON COLUMN aside.parallel_chunks.detail IS 'Detail of the last error.';
COMMENT ON COLUMN aside.parallel_chunks.hint IS 'Hint of the last error.';
COMMENT ON COLUMN aside.parallel_chunks.context IS 'Context of the last error.';
GRANT SELECT ON aside.parallel_jobs, aside.parallel_chunks TO aside_user;
