-- Claim: a session goes on after timeouts, cancels and deadlocks; when its worker
-- dies the next use says so once and the name is free; when there are too many,
-- opening fails at once with a hint; with its tenant it ends.
\set SHOW_CONTEXT never
CREATE TABLE regress_t (id int PRIMARY KEY, x text);
INSERT INTO regress_t VALUES (1, 'one'), (2, 'two');
CREATE FUNCTION try(call text, OUT said text, OUT at_once boolean) LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz := clock_timestamp();
    hint text; detail text;
BEGIN
    EXECUTE call INTO said;
    at_once := clock_timestamp() - since < interval '5 s';
EXCEPTION WHEN query_canceled OR OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT, detail = PG_EXCEPTION_DETAIL;
    said := concat_ws(' | ', SQLSTATE, SQLERRM, nullif(hint, ''));
    at_once := clock_timestamp() - since < interval '5 s';
END
$$;
-- the worker's end, waited for
CREATE FUNCTION end_worker(name text) RETURNS boolean LANGUAGE sql AS
    $$ SELECT pg_terminate_backend(pid, 10000) FROM autonomous_sessions() WHERE session = name $$;

-- the caller's timeout cancels what the session runs; the session goes on, in a failed transaction if one was open
SELECT autonomous_session_open('s');
SELECT p AS worker FROM autonomous_session_query('s', 'SELECT pg_backend_pid()') AS (p int) \gset
SET statement_timeout = '300ms';
SELECT autonomous_session_exec('s', 'INSERT INTO regress_t VALUES (3); SELECT pg_sleep(60)');
SELECT * FROM autonomous_session_query('s', 'INSERT INTO regress_t VALUES (3) RETURNING pg_sleep(60)::text') AS (a text);
SELECT autonomous_session_send('s', 'SELECT pg_sleep(1); SELECT 7');
SELECT * FROM autonomous_session_result('s') AS (a text);
RESET statement_timeout;
SELECT p = :worker AS same_worker FROM autonomous_session_query('s', 'SELECT pg_backend_pid()') AS (p int);
SELECT autonomous_session_exec('s', 'BEGIN'), autonomous_session_exec('s', 'INSERT INTO regress_t VALUES (3)');
SET statement_timeout = '300ms';
SELECT autonomous_session_exec('s', 'SELECT pg_sleep(60)');
RESET statement_timeout;
SELECT autonomous_session_exec('s', 'SELECT 1');
SELECT autonomous_session_exec('s', 'ROLLBACK');
SELECT id FROM regress_t ORDER BY id;
-- even one that would rather not be cancelled
SET statement_timeout = '300ms';
SELECT autonomous_session_exec('s', 'DO ''BEGIN INSERT INTO regress_t VALUES (3); BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END''');
RESET statement_timeout;
SELECT count(*) FROM regress_t WHERE id = 3;
-- its own timeouts, set there: of a statement, of waiting for a lock, of idling in a transaction
SELECT autonomous_session_exec('s', 'SET statement_timeout = ''200ms''');
SELECT autonomous_session_exec('s', 'SELECT pg_sleep(60)');
SELECT autonomous_session_exec('s', 'SELECT 1'), pg_sleep(0.4);
SELECT autonomous_session_exec('s', 'SELECT pg_sleep(0.15)'), autonomous_session_exec('s', 'SELECT pg_sleep(0.15)') AS each_its_own;
SELECT autonomous_session_send('s', 'SELECT pg_sleep(60)');
SELECT * FROM autonomous_session_result('s') AS (a text);
SELECT autonomous_session_exec('s', 'SET statement_timeout = 0');
SELECT autonomous_session_exec('s', 'SELECT pg_sleep(0.3)') AS none;
-- the caller's at the opening is the session's too
SET statement_timeout = '10min';
SELECT autonomous_session_open('t');
RESET statement_timeout;
SELECT * FROM autonomous_session_query('t', 'SHOW statement_timeout') AS (a text);
SELECT autonomous_session_close('t');

-- deadlocks: the session holds what a single call wants, or the caller holds what the session wants
SELECT autonomous_session_exec('s', 'BEGIN'), autonomous_session_exec('s', 'UPDATE regress_t SET x = ''session'' WHERE id = 1');
SELECT * FROM try($$SELECT autonomous_exec('UPDATE regress_t SET x = ''call'' WHERE id = 1')$$);
SELECT autonomous_session_exec('s', 'SELECT 1') AS goes_on;
SELECT autonomous_session_exec('s', 'COMMIT');
BEGIN;
UPDATE regress_t SET x = 'caller' WHERE id = 2;
SELECT autonomous_session_exec('s', 'BEGIN'), autonomous_session_exec('s', 'UPDATE regress_t SET x = ''session again'' WHERE id = 1');
SELECT * FROM try($$SELECT autonomous_session_exec('s', 'UPDATE regress_t SET x = ''session'' WHERE id = 2')$$);
SELECT * FROM try($$SELECT autonomous_session_exec('s', 'SELECT 1')$$);
COMMIT;
SELECT autonomous_session_exec('s', 'ROLLBACK');
SELECT * FROM regress_t ORDER BY id;
-- what was sent may wait for the caller, who goes on; who reads it then waits for itself
BEGIN;
UPDATE regress_t SET x = 'caller 2' WHERE id = 2;
SELECT autonomous_session_send('s', 'UPDATE regress_t SET x = ''sent'' WHERE id = 2');
COMMIT;
SELECT * FROM autonomous_session_result('s') AS (a int);
BEGIN;
UPDATE regress_t SET x = 'caller 3' WHERE id = 1;
SELECT autonomous_session_send('s', 'UPDATE regress_t SET x = ''sent'' WHERE id = 1');
SELECT * FROM try($$SELECT a FROM autonomous_session_result('s') AS (a int)$$);
COMMIT;
SELECT * FROM regress_t ORDER BY id;
-- two sessions of one caller
SELECT autonomous_session_open('t');
SELECT autonomous_session_exec('s', 'BEGIN'), autonomous_session_exec('s', 'UPDATE regress_t SET x = ''s'' WHERE id = 1');
SELECT * FROM try($$SELECT autonomous_session_exec('t', 'UPDATE regress_t SET x = ''t'' WHERE id = 1')$$);
SELECT autonomous_session_exec('s', 'COMMIT'), autonomous_session_exec('t', 'UPDATE regress_t SET x = ''t'' WHERE id = 1');
SELECT autonomous_session_close('t');
SELECT p = :worker AS same_worker FROM autonomous_session_query('s', 'SELECT pg_backend_pid()') AS (p int);

-- the worker dies: idle, in a transaction, in a command, with results unread; said once, then the name is free
SELECT end_worker('s');
SELECT session, state, pid FROM autonomous_sessions();
SELECT said FROM try($$SELECT autonomous_session_exec('s', 'SELECT 1')$$);
SELECT said FROM try($$SELECT autonomous_session_exec('s', 'SELECT 1')$$);
SELECT autonomous_session_open('s');
SELECT autonomous_session_exec('s', 'BEGIN'), autonomous_session_exec('s', 'INSERT INTO regress_t VALUES (4)');
SELECT end_worker('s');
SELECT said FROM try($$SELECT a FROM autonomous_session_query('s', 'SELECT 1') AS (a int)$$);
SELECT count(*) FROM regress_t WHERE id = 4;
SELECT autonomous_session_open('s');
SELECT said FROM try($$SELECT autonomous_session_exec('s', 'INSERT INTO regress_t VALUES (5); SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(60)')$$);
SELECT session, state FROM autonomous_sessions();
SELECT count(*) FROM regress_t WHERE id = 5;
SELECT autonomous_session_open('s');
SELECT autonomous_session_send('s', 'INSERT INTO regress_t VALUES (6); SELECT pg_sleep(60)');
SELECT end_worker('s');
-- 08006 with what became of the command, or 08003 if the worker had not begun with it
SELECT split_part(said, ' | ', 1) IN ('08003', '08006') AS said, at_once FROM try($$SELECT a FROM autonomous_session_result('s') AS (a text)$$);
SELECT session, state FROM autonomous_sessions();
SELECT count(*) FROM regress_t WHERE id = 6;
-- each use says it, and so do those that ask no worker
SELECT autonomous_session_open('s'), end_worker('s');
SELECT said FROM try($$SELECT autonomous_session_send('s', 'SELECT 1')$$);
SELECT autonomous_session_open('s'), end_worker('s');
SELECT said FROM try($$SELECT a FROM autonomous_session_result('s') AS (a text)$$);
SELECT autonomous_session_open('s'), end_worker('s');
SELECT said FROM try($$SELECT autonomous_session_is_busy('s')$$);
SELECT autonomous_session_open('s'), end_worker('s');
SELECT said FROM try($$SELECT channel FROM autonomous_session_notifications('s')$$);
SELECT autonomous_session_open('s'), end_worker('s');
SELECT autonomous_session_close('s') AS closing_is_fine;
SELECT autonomous_session_open('s'), end_worker('s');
SELECT autonomous_session_open('s') AS opening_is_too;
SELECT autonomous_session_exec('s', 'SELECT 1'), autonomous_session_close('s');

-- 200 of them: as many as there may be, then 53400 at once, with the setting to raise; all of them close
SET aside.checkout_timeout = '60s';
DO $$
DECLARE
    hint text;
    since timestamptz;
    opened int := 0;
    refused int := 0;
    slowly int := 0;
BEGIN
    FOR i IN 1 .. 200 LOOP
        since := clock_timestamp();
        BEGIN
            PERFORM autonomous_session_open('n' || i);
            opened := opened + 1;
        EXCEPTION WHEN configuration_limit_exceeded THEN
            GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
            refused := refused + 1;
            IF clock_timestamp() - since > interval '1 s' THEN
                slowly := slowly + 1;
            END IF;
        END;
    END LOOP;
    RAISE NOTICE 'opened, at most aside.max_workers: %, refused: %, slowly: %, hint: %',
        opened BETWEEN 2 AND current_setting('aside.max_workers')::int, refused = 200 - opened, slowly, hint;
    RAISE NOTICE 'all of them answer: %', (SELECT bool_and(autonomous_session_exec(session, 'SELECT 1') = 'SELECT 1') FROM autonomous_sessions());
END
$$;
SELECT * FROM try($$SELECT autonomous_exec('SELECT 1')$$);
SELECT count(autonomous_session_close(session)) > 1 AS closed FROM autonomous_sessions();
SELECT count(*) FROM autonomous_sessions();
SELECT autonomous_exec('SELECT 1'), autonomous_session_open('s'), autonomous_session_exec('s', 'SELECT 1');
RESET aside.checkout_timeout;

-- opened within a call: ends with the call, its transaction rolled back
CREATE FUNCTION regress_inner() RETURNS text LANGUAGE plpgsql_autonomous AS $$
BEGIN
    PERFORM autonomous_session_open('inner');
    PERFORM autonomous_session_exec('inner', 'BEGIN');
    PERFORM autonomous_session_exec('inner', 'INSERT INTO regress_t VALUES (7)');
    RETURN (SELECT string_agg(session || ' ' || state, ', ') FROM autonomous_sessions());
END
$$;
SELECT regress_inner();
SELECT regress_inner();
SELECT * FROM autonomous_query('SELECT count(*) FROM autonomous_sessions()') AS (n bigint);
SELECT autonomous_exec('SELECT autonomous_session_open(''inner''); SELECT 1/0');
SELECT * FROM autonomous_query('SELECT count(*) FROM autonomous_sessions()') AS (n bigint);
-- opened within a session: its own until it closes
SELECT autonomous_session_exec('s', 'SELECT autonomous_session_open(''inner'')');
SELECT autonomous_session_exec('s', 'SELECT autonomous_session_exec(''inner'', ''BEGIN; INSERT INTO regress_t VALUES (8)'')');
SELECT * FROM autonomous_session_query('s', 'SELECT session, state FROM autonomous_sessions()') AS (session text, state text);
SELECT autonomous_session_exec('s', 'SELECT autonomous_session_exec(''inner'', ''COMMIT'')');
SELECT autonomous_session_exec('s', 'SELECT autonomous_session_exec(''inner'', ''BEGIN; INSERT INTO regress_t VALUES (9)'')');
SELECT autonomous_session_close('s');
-- the inner ones are left to their workers
CALL until($$NOT EXISTS (SELECT FROM pg_locks WHERE relation = 'regress_t'::regclass AND mode = 'RowExclusiveLock')$$);
SELECT id FROM regress_t WHERE id > 6 ORDER BY id;
SELECT count(*) FROM autonomous_sessions();

DROP FUNCTION regress_inner(), end_worker(text), try(text);
DROP TABLE regress_t;
