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
CREATE VIEW aside.stat AS SELECT * FROM aside.stat_rows();
COMMENT ON VIEW aside.stat IS
    'Calls by kind since the pool was made. Bucket i of the histogram, counted from 1, holds the number of calls that took less than 2^(i-1) microseconds.';

GRANT EXECUTE ON FUNCTION
    aside.worker_rows(), aside.stat_rows(), aside.is_preloaded()
TO aside_user;
GRANT SELECT ON aside.workers, aside.stat TO aside_user;
