-- Claim: pg_background's functions of 1.x by PID do what they do there, at
-- their best: a result can be read once, from the session that launched it,
-- whatever became of its transaction; the PID is the worker's.
\set SHOW_CONTEXT never
CREATE SCHEMA "Regress Background";
CREATE EXTENSION aside_pg_background SCHEMA "Regress Background";
SET search_path = "Regress Background", public;
CREATE TABLE public.regress_bg (n int, what text);

-- the PID is that of a process that can be seen at work, as soon as it has begun
SELECT pg_background_launch('SELECT 42, pg_sleep(0.5)::text, pg_backend_pid()') AS pid \gset
CALL until($$EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'SELECT 42%')$$);
SELECT count(*) FROM pg_stat_activity WHERE pid = :pid AND backend_type = 'pg_aside worker' AND query LIKE 'SELECT 42%';
-- without a column list it cannot be read, and is still there
SELECT pg_background_result(:pid);
SELECT n, t, p = :pid AS that_process FROM pg_background_result(:pid) AS (n int, t text, p int);
-- once
\set VERBOSITY sqlstate
SELECT * FROM pg_background_result(:pid) AS (n int, t text, p int);
SELECT pg_background_detach(:pid);
\set VERBOSITY default
\set pid 1
SELECT * FROM pg_background_result(:pid) AS (n int);
SELECT pg_background_detach(:pid);
SELECT pg_background_run(:pid, 'SELECT 1');
SELECT pg_background_result(NULL), pg_background_launch(NULL), pg_background_detach(NULL), pg_background_run(NULL, 'x');

-- as it is generated: a launch within a result
SELECT * FROM pg_background_result(pg_background_launch('SELECT ''nested''')) AS (x text);
CREATE FUNCTION public.regress_log_atx(n int, what text) RETURNS void LANGUAGE plpgsql AS
    'BEGIN INSERT INTO regress_bg VALUES (n, what); END';
CREATE FUNCTION public.regress_log(n int, what text) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
    v_query text;
BEGIN
    v_query := 'SELECT true FROM regress_log_atx ( ' || quote_nullable(n) || ',' || quote_nullable(what) || ' )';
    PERFORM * FROM pg_background_result(pg_background_launch(v_query)) AS p (ret boolean);
END $f$;
CREATE FUNCTION public.regress_next_atx() RETURNS bigint LANGUAGE sql AS
    'INSERT INTO regress_bg VALUES (100, NULL); SELECT count(*) FROM regress_bg';
CREATE FUNCTION public.regress_next() RETURNS bigint LANGUAGE plpgsql AS $f$
DECLARE
    v_ret bigint;
BEGIN
    SELECT ret INTO v_ret FROM pg_background_result(pg_background_launch('SELECT regress_next_atx()')) AS p (ret bigint);
    RETURN v_ret;
END $f$;
BEGIN;
SELECT regress_log(1, 'it''s "quoted"'), regress_log(2, NULL);
SELECT regress_next();
ROLLBACK;
SELECT * FROM regress_bg ORDER BY n;
-- ten at a time
SELECT sum(x) FROM generate_series(1, 10) g, pg_background_result(pg_background_launch(format('SELECT %s', g))) AS (x int);

-- rows, or the tag of each statement
SELECT * FROM pg_background_result(pg_background_launch('CREATE TABLE public.regress_t (x int); INSERT INTO regress_t VALUES (1), (2); VACUUM_ANALYZE_NOT')) AS (tag text);
SELECT * FROM pg_background_result(pg_background_launch('CREATE TABLE public.regress_t (x int); INSERT INTO regress_t VALUES (1), (2)')) AS (tag text);
SELECT * FROM pg_background_result(pg_background_launch('VACUUM regress_t')) AS (tag text);
SELECT * FROM pg_background_result(pg_background_launch('DELETE FROM regress_t; SELECT 1 WHERE false')) AS (nothing int);
SELECT * FROM pg_background_result(pg_background_launch('DELETE FROM regress_t WHERE x = 2')) AS (tag int);
SELECT * FROM pg_background_result(pg_background_launch('SELECT 1')) AS (x int, y int);
SELECT * FROM pg_background_result(pg_background_launch('SELECT 1/0')) AS (x int);
SELECT * FROM pg_background_result(pg_background_launch('COMMIT')) AS (x text);
-- statements see each other's effects
SELECT * FROM pg_background_result(pg_background_launch('CREATE TEMP TABLE regress_temp AS SELECT 7 AS x; SELECT x FROM regress_temp')) AS (x int);

-- several at once that are read later: handles differ although workers are used again
SELECT array_agg(pg_background_launch(format('SELECT %s', g)) ORDER BY g) AS pids FROM generate_series(1, 20) g \gset
SELECT count(DISTINCT p) FROM unnest(:'pids'::int[]) p;
SELECT string_agg(x::text, ' ' ORDER BY n) FROM unnest(:'pids'::int[]) WITH ORDINALITY u(p, n), pg_background_result(p) AS (x int);
-- a handle outlives the transaction that made it, as what it stands for does
BEGIN;
SELECT pg_background_launch('INSERT INTO regress_bg VALUES (200, ''stays'')') AS pid \gset
ROLLBACK;
SELECT * FROM pg_background_result(:pid) AS (tag text);
SELECT * FROM regress_bg WHERE n = 200;
-- whoever is cancelled while waiting may come again
SELECT pg_background_launch('SELECT 5 FROM pg_sleep(0.4)') AS pid \gset
SET statement_timeout = '50ms';
SELECT * FROM pg_background_result(:pid) AS (x int);
RESET statement_timeout;
SELECT * FROM pg_background_result(:pid) AS (x int);

-- the next command in the same process
SELECT pg_background_launch('SELECT pg_backend_pid()') AS pid \gset
SELECT pg_background_run(:pid, 'SELECT ''second'', pg_backend_pid()') = :pid AS same;
SELECT x = :pid AS first_is_first FROM pg_background_result(:pid) AS (x int);
SELECT t, x = :pid AS same FROM pg_background_result(:pid) AS (t text, x int);
SELECT pg_background_run(:pid, 'SELECT ''third'', pg_backend_pid()') = :pid AS same;
SELECT t, x = :pid AS same FROM pg_background_result(:pid) AS (t text, x int);
SELECT pg_background_run(:pid, 'SELECT 1/0') = :pid AS same;
SELECT * FROM pg_background_result(:pid) AS (x int);
SELECT pg_background_run(:pid, 'SELECT ''after an error''') = :pid AS same;
SELECT * FROM pg_background_result(:pid) AS (x text);
SELECT pg_background_run(:pid, 'SELECT repeat(''x'', 100) FROM generate_series(1, 2000)') = :pid AS same;
SELECT count(*) FROM pg_background_result(:pid) AS (x text);
-- a worker that has gone is said to have
SELECT pg_background_launch('SELECT pg_backend_pid()') AS pid \gset
SELECT x = :pid AS same FROM pg_background_result(:pid) AS (x int);
SELECT pg_terminate_backend(:pid, 10000) AS ended;
\set VERBOSITY sqlstate
SELECT pg_background_run(:pid, 'SELECT 1');
\set VERBOSITY default

-- detached: it goes on, and is forgotten
SELECT pg_background_launch('INSERT INTO regress_bg SELECT 300, ''detached'' FROM pg_sleep(0.2)') AS pid \gset
SELECT pg_background_detach(:pid);
SELECT count(*) FROM aside.background_handles();
CALL until($$EXISTS (SELECT FROM regress_bg WHERE n = 300)$$);
-- what was read or detached takes no place among the tasks, but for the last of each worker, and failures
SELECT count(*) < 16 AS few FROM aside.tasks WHERE submitter = pg_backend_pid();

-- handles are the session's own
SELECT pg_background_launch('SELECT 1') AS pid \gset
\c -
SET search_path = "Regress Background", public;
\set VERBOSITY sqlstate
SELECT * FROM pg_background_result(:pid) AS (x int);
\set VERBOSITY default

-- for members of aside_user only
CREATE ROLE regress_aside_nobody;
CREATE ROLE regress_aside_somebody IN ROLE aside_user;
GRANT USAGE ON SCHEMA "Regress Background" TO regress_aside_nobody, regress_aside_somebody;
SET ROLE regress_aside_nobody;
SELECT pg_background_launch('SELECT 1');
SELECT * FROM pg_background_result(1) AS (x int);
RESET ROLE;
SET ROLE regress_aside_somebody;
-- whatever its search_path shows
SET search_path = pg_temp;
SELECT u FROM "Regress Background".pg_background_result("Regress Background".pg_background_launch('SELECT current_user::text')) AS (u text);
SELECT "Regress Background".pg_background_launch('SELECT current_user::text') AS pid \gset
RESET ROLE;
RESET search_path;
SET search_path = "Regress Background", public;
SELECT * FROM pg_background_result(:pid) AS (u text);
SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e'
    JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'aside_pg_background'
WHERE has_function_privilege('public', p.oid, 'EXECUTE') OR NOT has_function_privilege('aside_user', p.oid, 'EXECUTE');
RESET search_path;
DROP EXTENSION aside_pg_background;
DROP SCHEMA "Regress Background";
DROP FUNCTION regress_log, regress_log_atx, regress_next, regress_next_atx;
DROP TABLE regress_bg, regress_t;
DROP ROLE regress_aside_nobody, regress_aside_somebody;
