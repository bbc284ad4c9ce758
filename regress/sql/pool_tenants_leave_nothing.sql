-- Claim: a worker handed on shows its next tenant no temporary table, setting,
-- role, prepared statement, advisory lock, cursor or sequence state of the
-- last one, whether that one succeeded, failed or was refused.
\set VERBOSITY sqlstate
-- one worker for this session, so that every call meets the last one's worker
SET aside.max_workers_per_session = 1;
SELECT p AS worker FROM autonomous_query('SELECT pg_backend_pid()') AS (p int) \gset
SELECT p = :worker AS same_worker, p <> pg_backend_pid() AS not_the_caller
FROM autonomous_query('SELECT pg_backend_pid()') AS (p int);

CREATE SEQUENCE regress_s CACHE 5;
CREATE ROLE regress_aside_tenant IN ROLE aside_user;
-- what a tenant can see of another, as the worker sees it
CREATE FUNCTION regress_traces(OUT worker int, OUT traces text) LANGUAGE sql AS $f$
    SELECT * FROM autonomous_query($$
        SELECT pg_backend_pid(), coalesce((SELECT string_agg(t, ', ' ORDER BY t) FROM (
            SELECT 'temp table ' || relname FROM pg_class WHERE relnamespace = pg_my_temp_schema()
            UNION ALL
            SELECT 'temp table found' WHERE to_regclass('regress_temp') IS NOT NULL
            UNION ALL
            SELECT 'temp function ' || proname FROM pg_proc WHERE pronamespace = pg_my_temp_schema()
            UNION ALL
            SELECT 'prepared ' || name FROM pg_prepared_statements WHERE name LIKE 'regress%'
            UNION ALL
            SELECT 'cursor ' || name FROM pg_cursors WHERE name LIKE 'regress%'
            UNION ALL
            SELECT 'lock ' || objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
            UNION ALL
            SELECT 'channel ' || c FROM pg_listening_channels() c
            UNION ALL
            SELECT 'setting ' || current_setting('regress.trace', true) WHERE current_setting('regress.trace', true) <> ''
            UNION ALL
            SELECT 'work_mem' WHERE current_setting('work_mem') = '9MB'
            UNION ALL
            SELECT 'role ' || current_user WHERE current_user LIKE 'regress_aside_tenant'
            UNION ALL
            SELECT 'session ' || session_user WHERE session_user LIKE 'regress_aside_tenant'
        ) x(t)), 'none')
    $$) AS (p int, t text)
$f$;
SELECT worker = :worker AS same_worker, traces FROM regress_traces();

SELECT autonomous_exec('CREATE TEMP TABLE regress_temp AS SELECT 1');
SELECT autonomous_exec('SELECT * FROM regress_temp');
SELECT worker = :worker AS same_worker, traces FROM regress_traces();
SELECT autonomous_exec('CREATE TEMP TABLE regress_temp AS SELECT 1') AS name_is_free;
SELECT autonomous_exec('CREATE FUNCTION pg_temp.regress_f() RETURNS int LANGUAGE sql RETURN 1; CREATE TEMP VIEW regress_view AS SELECT 1');
SELECT worker = :worker AS same_worker, traces FROM regress_traces();

SELECT autonomous_exec('PREPARE regress_p AS SELECT 1');
SELECT autonomous_exec('EXECUTE regress_p');
SELECT autonomous_exec('PREPARE regress_p AS SELECT 1') AS name_is_free;
SELECT worker = :worker AS same_worker, traces FROM regress_traces();

SELECT autonomous_exec('SELECT pg_advisory_lock(4242), pg_advisory_lock(4242), pg_advisory_lock_shared(43)');
SELECT pg_try_advisory_lock(4242) AS free_for_the_caller, pg_advisory_unlock(4242);
SELECT worker = :worker AS same_worker, traces FROM regress_traces();

SELECT autonomous_exec('DECLARE regress_c CURSOR WITH HOLD FOR SELECT generate_series(1, 3)');
SELECT autonomous_exec('FETCH 1 FROM regress_c');
SELECT autonomous_exec('DECLARE regress_c CURSOR WITH HOLD FOR SELECT 1') AS name_is_free;
SELECT worker = :worker AS same_worker, traces FROM regress_traces();

SELECT autonomous_exec('SELECT nextval(''regress_s'')');
SELECT autonomous_exec('SELECT currval(''regress_s'')');
SELECT autonomous_exec('SELECT lastval()');
SELECT currval('regress_s');
SELECT * FROM autonomous_query('SELECT setval(''regress_s'', 100); SELECT currval(''regress_s'')') AS (v bigint);
SELECT autonomous_exec('SELECT currval(''regress_s'')');

SELECT autonomous_exec('SET regress.trace = 1; SET work_mem = ''9MB''; SELECT set_config(''regress.trace'', ''2'', false)');
SELECT worker = :worker AS same_worker, traces FROM regress_traces();
SELECT autonomous_exec('SET ROLE regress_aside_tenant');
SELECT worker = :worker AS same_worker, traces FROM regress_traces();
SELECT autonomous_exec('SET SESSION AUTHORIZATION regress_aside_tenant');
SELECT worker = :worker AS same_worker, traces FROM regress_traces();
SELECT autonomous_exec('SET SESSION AUTHORIZATION regress_aside_tenant; SET ROLE regress_aside_tenant; SELECT 1/0');
SELECT worker = :worker AS same_worker, traces FROM regress_traces();

-- all at once, then an error: locks of the session outlive an abort in a plain session
SELECT autonomous_exec('SELECT pg_advisory_lock(4242); PREPARE regress_p AS SELECT 1; SET regress.trace = 1; SELECT 1/0');
SELECT worker = :worker AS same_worker, traces FROM regress_traces();
-- and an end that the caller forces
SET statement_timeout = '200ms';
SELECT autonomous_exec('SELECT pg_advisory_lock(4242); PREPARE regress_p AS SELECT 1; SELECT pg_sleep(30)');
RESET statement_timeout;
SELECT traces FROM regress_traces();
-- and a statement that commits on its way
SELECT autonomous_exec('DO $$BEGIN PERFORM pg_advisory_lock(4242); CREATE TEMP TABLE regress_temp (x int);
    SET regress.trace = 1; PERFORM nextval(''regress_s''); COMMIT; EXECUTE ''PREPARE regress_p AS SELECT 1''; ROLLBACK; END$$');
SELECT traces FROM regress_traces();
SELECT autonomous_exec('SELECT lastval()');
SELECT pg_try_advisory_lock(4242) AS free_for_the_caller, pg_advisory_unlock(4242);
-- locks at the end of a transaction, as always
SELECT autonomous_exec('SELECT pg_advisory_xact_lock(4242)');
SELECT pg_try_advisory_lock(4242) AS free_for_the_caller, pg_advisory_unlock(4242);

-- a temporary table on commit, and one that hides a permanent one
CREATE TABLE regress_t AS SELECT 'permanent' AS x;
SELECT * FROM autonomous_query('CREATE TEMP TABLE regress_t AS SELECT ''temporary''::text AS x; SELECT x FROM regress_t') AS (x text);
SELECT * FROM autonomous_query('SELECT x FROM regress_t') AS (x text);
SELECT * FROM autonomous_query('CREATE TEMP TABLE regress_t (x text) ON COMMIT DROP; SELECT count(*) FROM regress_t') AS (n bigint);
SELECT * FROM autonomous_query('SELECT x FROM regress_t') AS (x text);
-- and no temporary schema's leftovers in the catalog
SELECT count(*) AS temp_relations FROM pg_class WHERE relpersistence = 't' AND relname LIKE 'regress%';

-- nor a replica's origin, by which the next transactions would be taken for somebody else's
SELECT pg_replication_origin_create('regress_origin') > 0;
SELECT autonomous_exec('SELECT pg_replication_origin_session_setup(''regress_origin''), pg_replication_origin_xact_setup(''0/99'', now())');
SELECT * FROM autonomous_query('SELECT pg_replication_origin_session_is_setup()') AS (set boolean);
SELECT pg_replication_origin_drop('regress_origin');

DROP TABLE regress_t;
DROP FUNCTION regress_traces();
DROP SEQUENCE regress_s;
DROP ROLE regress_aside_tenant;
