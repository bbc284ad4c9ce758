-- Claim: a task acts as who started it, with that session's settings as they
-- were, at top level where it can; nobody gains by it, and nothing comes back.
\set SHOW_CONTEXT never
CREATE ROLE regress_aside_app IN ROLE aside_user;
CREATE ROLE regress_aside_definer IN ROLE aside_user;
GRANT CREATE ON SCHEMA public TO regress_aside_definer, regress_aside_app;
-- settings
SET app.user_id = '42';
SET work_mem = '7MB';
SET search_path = pg_temp, pg_catalog;
BEGIN;
SET LOCAL app.tenant = 'of the transaction';
SET LOCAL TimeZone = 'Asia/Tokyo';
SELECT public.async_exec('SELECT current_setting(''app.user_id''), current_setting(''work_mem''), current_setting(''app.tenant''), current_setting(''TimeZone'')') AS t \gset
COMMIT;
RESET search_path;
SET app.user_id = '43';
SELECT * FROM async_result(:t) AS (u text, w text, t text, z text);
RESET work_mem;
-- as they are at the call, though it runs later
SET aside.max_workers_per_session = 1;
SELECT async_exec('SELECT pg_sleep(0.2)') AS busy \gset
SELECT async_exec('SELECT current_setting(''app.user_id'')') AS t \gset
SET app.user_id = '44';
SELECT * FROM async_result(:t) AS (u text);
RESET aside.max_workers_per_session;
-- its changes do not come back, nor into the next one
SELECT x FROM async_result(async_exec('SET app.user_id = ''changed''; SELECT current_setting(''app.user_id'')')) AS (x text);
SELECT x FROM async_result(async_exec('SELECT current_setting(''app.user_id'')')) AS (x text);
SHOW app.user_id;
-- isolation and access mode are the worker's defaults
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY;
SELECT * FROM async_result(async_exec('SELECT current_setting(''transaction_isolation''), current_setting(''transaction_read_only'')')) AS (i text, r text);
COMMIT;

-- who it is
SELECT * FROM async_result(async_exec('SELECT current_user = session_user, current_setting(''role'')')) AS (same boolean, role text);
SET ROLE regress_aside_app;
SELECT async_exec('SELECT current_user::text, current_setting(''role'')') AS t \gset
SELECT owner FROM aside.tasks WHERE id = :t;
SELECT * FROM async_result(:t) AS (u text, role text);
RESET ROLE;
SET SESSION AUTHORIZATION regress_aside_app;
SELECT * FROM async_result(async_exec('SELECT current_user::text, session_user::text')) AS (u text, s text);
SELECT x FROM async_result(async_exec('SELECT count(*) FROM pg_authid')) AS (x bigint);
SELECT x FROM async_result(async_exec('SET ROLE regress_aside_definer; SELECT 1')) AS (x int);
SELECT x FROM async_result(async_exec('RESET SESSION AUTHORIZATION; SELECT current_user::text')) AS (x text);
RESET SESSION AUTHORIZATION;

-- SECURITY DEFINER: as the definer, who cannot switch
SET ROLE regress_aside_definer;
CREATE TABLE regress_vault (who text);
CREATE FUNCTION regress_definer(command text) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS
    'BEGIN RETURN async_exec(command); END';
CREATE FUNCTION regress_definer_waits(command text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS
    'BEGIN RETURN (SELECT x FROM async_result(async_exec(command)) AS (x text)); END';
RESET ROLE;
SET SESSION AUTHORIZATION regress_aside_app;
SELECT regress_definer('INSERT INTO regress_vault VALUES (current_user)') AS t \gset
\set VERBOSITY sqlstate
SELECT count(*) FROM aside.tasks WHERE id = :t;
SELECT async_wait(:t);
SELECT * FROM async_result(:t) AS (x text);
\set VERBOSITY default
SELECT regress_definer_waits('SELECT current_user::text');
SELECT regress_definer_waits('SET ROLE regress_aside_app; SELECT 1');
SELECT regress_definer_waits('RESET ROLE; SELECT 1');
RESET SESSION AUTHORIZATION;
CALL until('(SELECT count(*) = 1 FROM regress_vault)');
SET SESSION AUTHORIZATION regress_aside_app;
SELECT regress_definer_waits('SELECT count(*)::text FROM regress_vault');
SELECT x FROM async_result(async_exec('SELECT count(*)::text FROM regress_vault')) AS (x text);
RESET SESSION AUTHORIZATION;
SELECT * FROM regress_vault;

-- within a security-restricted operation: nothing
SET ROLE regress_aside_definer;
CREATE TABLE regress_indexed (x int);
INSERT INTO regress_indexed VALUES (1);
CREATE FUNCTION regress_index(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN x; END';
CREATE INDEX ON regress_indexed (regress_index(x));
RESET ROLE;
\set VERBOSITY sqlstate
CREATE OR REPLACE FUNCTION regress_index(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE SET search_path = public AS $$BEGIN PERFORM async_exec('SELECT 1'); RETURN x; END$$;
REINDEX TABLE regress_indexed;
CREATE OR REPLACE FUNCTION regress_index(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE SET search_path = public AS $$BEGIN PERFORM async_exec_on_commit('SELECT 1'); RETURN x; END$$;
REINDEX TABLE regress_indexed;
SET ROLE regress_aside_definer;
SELECT async_exec('SELECT 1') AS t \gset
SELECT async_wait(:t);
RESET ROLE;
SELECT set_config('regress.t', :'t', false) IS NOT NULL AS set;
CREATE OR REPLACE FUNCTION regress_index(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE SET search_path = public AS $$BEGIN PERFORM async_run(current_setting('regress.t')::bigint, 'SELECT 1'); RETURN x; END$$;
REINDEX TABLE regress_indexed;
CREATE OR REPLACE FUNCTION regress_index(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE SET search_path = public AS $$BEGIN PERFORM async_wait(current_setting('regress.t')::bigint); RETURN x; END$$;
REINDEX TABLE regress_indexed;
CREATE OR REPLACE FUNCTION regress_index(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE SET search_path = public AS $$BEGIN PERFORM * FROM async_result(current_setting('regress.t')::bigint) AS (x int); RETURN x; END$$;
REINDEX TABLE regress_indexed;
CREATE OR REPLACE FUNCTION regress_index(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE SET search_path = public AS $$BEGIN PERFORM async_cancel(current_setting('regress.t')::bigint); RETURN x; END$$;
REINDEX TABLE regress_indexed;
CREATE OR REPLACE FUNCTION regress_index(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE SET search_path = public AS $$BEGIN PERFORM async_detach(current_setting('regress.t')::bigint); RETURN x; END$$;
REINDEX TABLE regress_indexed;
CREATE OR REPLACE FUNCTION regress_index(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE SET search_path = public AS $$BEGIN PERFORM async_progress(1); RETURN x; END$$;
REINDEX TABLE regress_indexed;
\set VERBOSITY default
-- the task is unharmed
SELECT * FROM async_result(:t) AS (x int);
-- without aside_user
CREATE ROLE regress_aside_nobody;
SET ROLE regress_aside_nobody;
\set VERBOSITY sqlstate
SELECT async_exec('SELECT 1');
SELECT async_exec('SELECT $1', 1);
SELECT async_exec_on_commit('SELECT 1');
SELECT async_run(1, 'SELECT 1');
SELECT async_wait(1);
SELECT async_wait_any(ARRAY[1]);
SELECT * FROM async_result(1) AS (x int);
SELECT async_cancel(1);
SELECT async_detach(1);
SELECT async_progress(1);
SELECT * FROM aside.tasks;
\set VERBOSITY default
RESET ROLE;

-- at top level
CREATE TABLE regress_top (x int);
INSERT INTO regress_top SELECT generate_series(1, 1000);
SELECT * FROM aside.task_result_tags(async_exec('VACUUM (ANALYZE) regress_top')) AS (tag text);
CREATE PROCEDURE regress_commits() LANGUAGE plpgsql AS 'BEGIN FOR i IN 1..3 LOOP INSERT INTO regress_top VALUES (-i); COMMIT; END LOOP; PERFORM 1/0; END';
SELECT async_exec('CALL regress_commits()') AS t \gset
SELECT async_wait(:t);
SELECT state, sqlstate FROM aside.tasks WHERE id = :t;
SELECT count(*) FROM regress_top WHERE x < 0;
SELECT * FROM aside.task_result_tags(async_exec('CREATE DATABASE regress_aside_made')) AS (tag text);
SELECT * FROM aside.task_result_tags(async_exec('DROP DATABASE regress_aside_made')) AS (tag text);
SELECT * FROM async_result(async_exec('SELECT 1; VACUUM regress_top')) AS (x int);

DROP TABLE regress_top, regress_vault, regress_indexed;
DROP FUNCTION regress_definer, regress_definer_waits, regress_index;
DROP PROCEDURE regress_commits;
REVOKE CREATE ON SCHEMA public FROM regress_aside_definer, regress_aside_app;
DROP ROLE regress_aside_app, regress_aside_definer, regress_aside_nobody;
