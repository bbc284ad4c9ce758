-- Role: the pool, as users see it. In C: c-shim/sql/view.c.

CREATE FUNCTION aside.worker_rows(OUT slot int, OUT pid int, OUT state text, OUT database name, OUT username name,
    OUT caller_pid int, OUT depth int, OUT xid bigint, OUT calls bigint, OUT errors bigint,
    OUT started timestamptz, OUT last_used timestamptz, OUT generation bigint) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_workers';
COMMENT ON FUNCTION aside.worker_rows() IS 'Returns the rows of the view aside.workers.';

CREATE FUNCTION aside.stat_rows(OUT kind text, OUT calls bigint, OUT errors bigint, OUT cancelled bigint, OUT rows bigint,
    OUT waits bigint, OUT wait_ms float8, OUT total_ms float8, OUT histogram bigint[]) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_stat';
COMMENT ON FUNCTION aside.stat_rows() IS 'Returns the rows of the view aside.stat.';

CREATE FUNCTION aside.is_preloaded() RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_is_preloaded';
COMMENT ON FUNCTION aside.is_preloaded() IS 'True if pg_aside is in shared_preload_libraries of the running server.';

CREATE VIEW aside.workers AS SELECT * FROM aside.worker_rows();
COMMENT ON VIEW aside.workers IS 'Workers of the pool that the calling session uses: for whom each works, and how much it has done.';
COMMENT ON COLUMN aside.workers.slot IS 'Place of the worker in the pool, from 0.';
COMMENT ON COLUMN aside.workers.pid IS 'Process of the worker. NULL while it starts.';
COMMENT ON COLUMN aside.workers.state IS 'Starting, idle, busy, session (kept by a session that runs nothing now), task, leaving, or dead.';
COMMENT ON COLUMN aside.workers.database IS 'Database that the worker is connected to.';
COMMENT ON COLUMN aside.workers.username IS 'Role that the worker is connected as.';
COMMENT ON COLUMN aside.workers.caller_pid IS 'Process that the worker works for now.';
COMMENT ON COLUMN aside.workers.depth IS 'How deep the call is nested.';
COMMENT ON COLUMN aside.workers.xid IS 'The running transaction, if it has an id.';
COMMENT ON COLUMN aside.workers.calls IS 'Calls that this process has served.';
COMMENT ON COLUMN aside.workers.errors IS 'Calls that this process has served and that failed.';
COMMENT ON COLUMN aside.workers.started IS 'Time when the process started.';
COMMENT ON COLUMN aside.workers.last_used IS 'Time when the process last ended a call.';
COMMENT ON COLUMN aside.workers.generation IS 'How often the slot has been claimed.';
CREATE VIEW aside.stat AS SELECT * FROM aside.stat_rows();
COMMENT ON VIEW aside.stat IS
    'Calls by kind since the pool was made. Bucket i of the histogram, counted from 1, holds the number of calls that took less than 2^(i-1) microseconds.';
COMMENT ON COLUMN aside.stat.kind IS 'Kind of the calls: exec, query, query_as, json, routine, session, or task.';
COMMENT ON COLUMN aside.stat.calls IS 'Calls that have ended.';
COMMENT ON COLUMN aside.stat.errors IS 'Calls that failed with an error.';
COMMENT ON COLUMN aside.stat.cancelled IS 'Calls that the caller broke off.';
COMMENT ON COLUMN aside.stat.rows IS 'Rows that calls returned.';
COMMENT ON COLUMN aside.stat.waits IS 'Calls that had to wait for a worker.';
COMMENT ON COLUMN aside.stat.wait_ms IS 'Time that calls waited for a worker, in milliseconds.';
COMMENT ON COLUMN aside.stat.total_ms IS 'Time that all calls took, in milliseconds.';
COMMENT ON COLUMN aside.stat.histogram IS 'Number of calls by duration, in 24 buckets.';

GRANT EXECUTE ON FUNCTION
    aside.worker_rows(), aside.stat_rows(), aside.is_preloaded()
TO aside_user;
GRANT SELECT ON aside.workers, aside.stat TO aside_user;
