-- Claim: async_run gives a task's process its next command, in order, for as
-- long as it lives; and says when it does not.
SELECT async_exec('SELECT pg_backend_pid()') AS t \gset
SELECT p AS pid FROM async_result(:t) AS (p int) \gset
SELECT async_run(:t, 'SELECT pg_backend_pid(), $1 || $2', 'with ', 'arguments') AS u \gset
SELECT p = :pid AS same, x FROM async_result(:u) AS (p int, x text);
SELECT async_run(:u, 'SELECT pg_backend_pid(), $1 || $2', VARIADIC ARRAY['spread ', 'out']) AS v \gset
SELECT p = :pid AS same, x FROM async_result(:v) AS (p int, x text);
-- while it is at work they queue up
SELECT async_run(:t, 'SELECT pg_sleep(0.2)') AS a \gset
CREATE TABLE regress_order (n int, pid int);
SELECT array_agg(async_run(:a, 'INSERT INTO regress_order VALUES ($1, pg_backend_pid())', g) ORDER BY g) AS ts FROM generate_series(1, 5) g \gset
SELECT bool_and(async_wait(t)) FROM unnest(:'ts'::bigint[]) t;
SELECT string_agg(n::text, ' ' ORDER BY ctid), bool_and(pid = :pid) AS all_there FROM regress_order;
-- a following one of one that follows and has not begun
SELECT async_run(:t, 'SELECT pg_sleep(0.2)') AS a \gset
SELECT async_run(:a, 'SELECT 1') AS b \gset
SELECT async_run(:b, 'SELECT pg_backend_pid()') AS c \gset
SELECT p = :pid AS same FROM async_result(:c) AS (p int);
-- nothing of the first is left but the process
SELECT async_run(:t, 'CREATE TEMP TABLE regress_temp (x int); SET work_mem = ''9MB''; SELECT pg_advisory_lock(77)') AS a \gset
SELECT async_wait(:a);
SELECT async_run(:a, 'SELECT to_regclass(''pg_temp.regress_temp'') IS NULL, current_setting(''work_mem''), (SELECT count(*) FROM pg_locks WHERE locktype = ''advisory'' AND pid = pg_backend_pid())') AS b \gset
SELECT t, w = current_setting('work_mem') AS mine, n FROM async_result(:b) AS (t boolean, w text, n bigint);
-- after one that failed, or was cancelled
SELECT async_run(:t, 'SELECT 1/0') AS a \gset
SELECT async_run(:a, 'SELECT pg_sleep(60)') AS b \gset
SELECT async_wait(:a), async_wait(:b, '100 ms');
SELECT async_cancel(:b), async_wait(:b);
SELECT async_run(:b, 'SELECT pg_backend_pid()') AS c \gset
SELECT p = :pid AS same FROM async_result(:c) AS (p int);
-- the worker has gone
SELECT pg_terminate_backend(:pid, 10000);
\set VERBOSITY sqlstate
SELECT async_run(:t, 'SELECT 1');
SELECT async_run(:c, 'SELECT 1');
-- the task is unknown
SELECT async_detach(:t);
SELECT async_run(:t, 'SELECT 1');
SELECT async_run(9223372036854775807, 'SELECT 1');
SELECT async_run(NULL, 'SELECT 1');
SELECT async_run(:c, NULL);
\set VERBOSITY default
DO $$ BEGIN PERFORM async_run(9223372036854775807, 'SELECT 1'); EXCEPTION WHEN undefined_object THEN RAISE INFO '%', SQLERRM; END $$;
-- the worker goes before what follows has its turn: that runs in another one
SELECT async_exec('SELECT pg_sleep(60) /* regress victim */') AS t \gset
SELECT async_run(:t, 'SELECT ''elsewhere''') AS u \gset
CALL until($$EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%regress victim%' AND wait_event = 'PgSleep' AND backend_type LIKE 'pg_aside%')$$);
SELECT count(pg_terminate_backend(pid, 10000)) FROM aside.tasks WHERE id = :t;
SELECT async_wait(:t, '10 s');
SELECT state, sqlstate FROM aside.tasks WHERE id = :t;
SELECT x FROM async_result(:u) AS (x text);
DROP TABLE regress_order;
