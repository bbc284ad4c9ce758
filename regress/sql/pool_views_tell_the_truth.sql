-- Claim: aside.workers and aside.stat show what happens: who works for whom,
-- what was called, failed and returned; pg_stat_activity shows the command.
\set VERBOSITY sqlstate
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = 'aside.workers'::regclass AND attnum > 0 ORDER BY attnum;
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = 'aside.stat'::regclass AND attnum > 0 ORDER BY attnum;
SELECT kind FROM aside.stat ORDER BY kind COLLATE "C";

-- a worker at rest
SELECT p AS worker FROM autonomous_query('SELECT pg_backend_pid()') AS (p int) \gset
SELECT database = current_database() AS database, username = session_user AS username,
       calls >= 1 AS calls, started <= last_used AS times, last_used <= clock_timestamp() AS used,
       generation >= 1 AS generation, caller_pid IS NULL OR caller_pid IN (0, pg_backend_pid()) AS caller, xid IS NULL AS no_xid
FROM aside.workers WHERE pid = :worker;
SELECT state AS rest FROM aside.workers WHERE pid = :worker \gset

-- and at work, seen from inside
SELECT * FROM autonomous_query('SELECT pg_current_xact_id() IS NOT NULL;
    SELECT count(*), bool_and(caller_pid = $1), bool_and(depth = 1), bool_and(state <> $2), bool_and(xid::text = pg_current_xact_id()::text)
    FROM aside.workers WHERE pid = pg_backend_pid()', pg_backend_pid(), :'rest'::text)
    AS (workers bigint, for_me bool, depth_1 bool, not_at_rest bool, my_xid bool);
SELECT * FROM autonomous_query($$SELECT * FROM autonomous_query('SELECT depth, caller_pid = $1 FROM aside.workers WHERE pid = pg_backend_pid()',
    pg_backend_pid()) AS (a int, b bool)$$) AS (depth int, for_the_worker bool);
SELECT * FROM autonomous_query('SELECT backend_type, query, application_name = $1, datname = current_database(), usename = session_user, state
    FROM pg_stat_activity WHERE pid = pg_backend_pid()', current_setting('application_name'))
    AS (backend_type text, query text, app bool, db bool, usr bool, state text);
SELECT backend_type FROM pg_stat_activity WHERE pid = :worker;
-- numbers of slots are of slots, a pid has one
SELECT count(*) = count(DISTINCT slot) AS slots, count(*) = count(DISTINCT pid) AS pids FROM aside.workers WHERE pid <> 0;
SELECT count(*) AS without_process FROM aside.workers w WHERE pid > 0 AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = w.pid);

-- counts: calls, errors, rows, by kind
CREATE TEMP TABLE before AS SELECT * FROM aside.stat;
CREATE TEMP TABLE w_before AS SELECT pid, calls, errors FROM aside.workers;
SELECT count(autonomous_exec('SELECT generate_series(1, 10)')) FROM generate_series(1, 5);
SELECT autonomous_exec('SELECT 1/0');
SELECT autonomous_exec('SELECT $1');
SELECT count(*) FROM autonomous_query('SELECT generate_series(1, 7)') AS (a int);
SELECT count(*) FROM autonomous_query_as(NULL::int, 'SELECT generate_series(1, 3)');
SELECT count(*) FROM autonomous_json('SELECT generate_series(1, 2)');
SET statement_timeout = '100ms';
SELECT autonomous_exec('SELECT pg_sleep(30)');
RESET statement_timeout;
SELECT kind, a.calls - b.calls AS calls, a.errors - b.errors AS errors, a.cancelled - b.cancelled AS cancelled, CASE WHEN kind <> 'exec' THEN a.rows - b.rows END AS rows,
       a.total_ms > b.total_ms AS took_time, a.waits >= b.waits AS waits, a.wait_ms >= b.wait_ms AS wait_ms,
       (SELECT sum(h) FROM unnest(a.histogram) h) - (SELECT coalesce(sum(h), 0) FROM unnest(b.histogram) h) AS in_histogram
FROM aside.stat a JOIN before b USING (kind) ORDER BY kind COLLATE "C";
SELECT sum(w.calls - coalesce(b.calls, 0)) AS calls, sum(w.errors - coalesce(b.errors, 0)) AS errors FROM aside.workers w LEFT JOIN w_before b USING (pid);

-- no commands of others in a view of ours
SELECT count(*) FROM pg_attribute WHERE attrelid = 'aside.workers'::regclass AND attname ~ 'query|command';
DROP TABLE before, w_before;
