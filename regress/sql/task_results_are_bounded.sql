-- Claim: a task never waits for a reader; what it returns is kept within
-- bounds, goes to disk beyond memory, and leaves nothing when it is forgotten.
SELECT async_exec('SELECT 1') AS first \gset
-- a task that is being forgotten may still be so for a moment
CREATE FUNCTION regress_files(first bigint) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $f$
BEGIN
    WHILE EXISTS (SELECT FROM aside.tasks WHERE detached) LOOP
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN (SELECT count(*) FROM pg_ls_tmpdir() WHERE substring(name FROM '^pgsql_tmp_aside\.(\d+)$')::bigint >= first);
END $f$;
-- a million rows that nobody reads
SELECT async_exec('SELECT g, repeat(''x'', 20) FROM generate_series(1, 1000000) g') AS t \gset
SELECT async_wait(:t, '1 min');
SELECT state, rows, bytes > 20000000 AS large FROM aside.tasks WHERE id = :t;
SELECT regress_files(:first) AS files;
-- and read after all, twice, within other queries
SELECT count(*), sum(g), max(length(x)) FROM async_result(:t) AS (g int, x text);
SELECT g FROM async_result(:t) AS (g int, x text) WHERE g % 250000 = 0;
SELECT g FROM async_result(:t) AS (g int, x text) LIMIT 2;
SELECT async_detach(:t);
SELECT regress_files(:first) AS files;
-- little ones stay in memory
SELECT async_exec('SELECT 1') AS t \gset
SELECT async_wait(:t);
SELECT bytes < 1000 AS small FROM aside.tasks WHERE id = :t;
SELECT regress_files(:first) AS files;
-- detached while it runs: no file is left
SELECT async_exec('SELECT repeat(''x'', 1000) FROM generate_series(1, 3000); SELECT pg_sleep(0.3)') AS t \gset
SELECT async_detach(:t);
CALL until($$NOT EXISTS (SELECT FROM aside.tasks WHERE detached)$$);
SELECT regress_files(:first) AS files;
-- cancelled while it writes
SELECT async_exec('SELECT repeat(''x'', 1000) FROM generate_series(1, 3000); SELECT pg_sleep(60)') AS t \gset
SELECT async_wait(:t, '300 ms');
SELECT async_cancel(:t);
SELECT async_wait(:t), async_detach(:t);
SELECT regress_files(:first) AS files;
-- failed after it has written
SELECT async_exec('SELECT repeat(''x'', 1000) FROM generate_series(1, 3000); SELECT 1/0') AS t \gset
SELECT async_wait(:t);
SELECT state, sqlstate FROM aside.tasks WHERE id = :t;
SELECT async_detach(:t);
SELECT regress_files(:first) AS files;
-- a long request lies in a file until it is taken
SELECT async_exec('SELECT length($1)', repeat('x', 1000000)) AS t \gset
SELECT x FROM async_result(:t) AS (x int);
SELECT regress_files(:first) AS files;
SET aside.max_workers_per_session = 1;
SELECT async_exec('SELECT pg_sleep(60)') AS busy \gset
SELECT async_exec('SELECT length($1)', repeat('x', 1000000)) AS t \gset
SELECT regress_files(:first) AS files;
SELECT async_cancel(:t), async_detach(:t);
SELECT regress_files(:first) AS files;
SELECT async_cancel(:busy), async_wait(:busy);
RESET aside.max_workers_per_session;

-- the limit
SET aside.task_result_limit = '100kB';
CREATE TABLE regress_tasks (x int);
SELECT async_exec('INSERT INTO regress_tasks VALUES (1); SELECT repeat(''x'', 1000) FROM generate_series(1, 50)') AS t \gset
SELECT async_exec('INSERT INTO regress_tasks VALUES (2); SELECT repeat(''x'', 1000) FROM generate_series(1, 200)') AS u \gset
SELECT async_wait(:t), async_wait(:u);
SELECT state, sqlstate, message FROM aside.tasks WHERE id = :t;
SELECT state, sqlstate, message FROM aside.tasks WHERE id = :u;
SELECT x FROM regress_tasks;
SELECT count(*) FROM async_result(:t) AS (x text);
\set SHOW_CONTEXT never
SELECT count(*) FROM async_result(:u) AS (x text);
SELECT regress_files(:first) AS files;
-- messages beyond it are left out
CREATE FUNCTION regress_chatters(n int) RETURNS void LANGUAGE plpgsql AS
    $f$BEGIN FOR i IN 1..n LOOP RAISE NOTICE '%', repeat('x', 1000); END LOOP; END $f$;
SELECT async_exec('SELECT regress_chatters(200)') AS t \gset
SELECT async_wait(:t);
SELECT state, sqlstate FROM aside.tasks WHERE id = :t;
SET client_min_messages = warning;
SELECT x IS NOT NULL AS x FROM async_result(:t) AS (x text);
RESET client_min_messages;
SELECT async_detach(:t);
-- one value above it
SELECT async_exec('SELECT repeat(''x'', 200000)') AS t \gset
SELECT async_wait(:t);
SELECT state, sqlstate FROM aside.tasks WHERE id = :t;
RESET aside.task_result_limit;

-- the limit of a role, in memory and in files together
SET client_min_messages = warning;
CREATE ROLE regress_aside_results LOGIN IN ROLE aside_user;
RESET client_min_messages;
SET aside.task_results_per_role = '200kB';
SET ROLE regress_aside_results;
SELECT async_exec('SELECT repeat(''x'', 1000) FROM generate_series(1, 120)') AS t \gset
SELECT async_exec('SELECT repeat(''x'', 1000) FROM generate_series(1, 40)') AS u \gset
SELECT async_wait(:t), async_wait(:u);
SELECT state, bytes > 64 * 1024 AS large FROM aside.tasks WHERE id IN (:t, :u) ORDER BY id;
-- beyond it a task fails: at its end, and while it returns rows
SELECT async_exec('SELECT repeat(''x'', 1000) FROM generate_series(1, 50)') AS v \gset
SELECT async_exec('SELECT repeat(''x'', 1000) FROM generate_series(1, 100000)') AS w \gset
SELECT async_wait(:v), async_wait(:w);
SELECT state, sqlstate, message FROM aside.tasks WHERE id IN (:v, :w) ORDER BY id;
SELECT count(*) FROM async_result(:v) AS (x text);
-- another role has its own
RESET ROLE;
SELECT async_exec('SELECT repeat(''x'', 1000) FROM generate_series(1, 100)') AS o \gset
SELECT async_wait(:o);
SELECT state FROM aside.tasks WHERE id = :o;
SELECT async_detach(:o);
SET ROLE regress_aside_results;
-- what was read makes room
SELECT count(*) FROM async_result(:t) AS (x text);
SELECT async_exec('SELECT repeat(''x'', 1000) FROM generate_series(1, 120)') AS v \gset
SELECT async_wait(:v);
SELECT id = :v AS new, state FROM aside.tasks WHERE id IN (:t, :u, :v) ORDER BY id;
SELECT async_detach(id) IS NOT NULL AS detached FROM aside.tasks WHERE owner = 'regress_aside_results';
RESET ROLE;
SELECT regress_files(:t) AS files;
RESET aside.task_results_per_role;
DROP ROLE regress_aside_results;

-- a thousand tasks through four workers
SET aside.max_workers_per_session = 4;
SELECT array_agg(async_exec('INSERT INTO regress_tasks VALUES ($1) RETURNING x', g + 1000) ORDER BY g) AS ts FROM generate_series(1, 1000) g \gset
SELECT bool_and(async_wait(t, '1 min')) FROM unnest(:'ts'::bigint[]) t;
SELECT count(*), sum(x) FROM regress_tasks WHERE x > 1000;
SELECT state, count(*) FROM aside.tasks WHERE id = ANY (:'ts'::bigint[]) GROUP BY state;
SELECT count(*), sum(x) FROM unnest(:'ts'::bigint[]) t, async_result(t) AS (x int);
SELECT count(async_detach(t)::text) FROM unnest(:'ts'::bigint[]) t;
SELECT regress_files(:first) AS files;
-- more than the table has places for: the oldest that have ended make room
RESET aside.max_workers_per_session;
SELECT count(async_exec('SELECT 1')) FROM generate_series(1, 3000);
SELECT count(*) <= current_setting('aside.max_tasks')::int AS bounded FROM aside.tasks;
CALL until($$NOT EXISTS (SELECT FROM aside.tasks WHERE state IN ('queued', 'running'))$$);
SELECT bool_and(state IN ('done', 'failed', 'cancelled', 'lost')) FROM aside.tasks;
DO $$ BEGIN PERFORM async_detach(id) FROM aside.tasks WHERE submitter = pg_backend_pid(); END $$;
SELECT regress_files(:first) AS files;
DROP TABLE regress_tasks;
DROP FUNCTION regress_files, regress_chatters;
