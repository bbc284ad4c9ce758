-- Claim: a session is known by its name, in this client's session only: a name is
-- used once, one that is not known or was closed is 08003, and a session that has
-- something to be read is busy, 55000.
\set SHOW_CONTEXT never
CREATE FUNCTION try(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text; hint text; r text;
BEGIN
    EXECUTE call INTO r;
    RETURN coalesce(r, 'NULL');
EXCEPTION WHEN query_canceled OR OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(detail, ''), nullif(hint, ''));
END
$$;
CREATE VIEW calls AS SELECT * FROM unnest(ARRAY[
    'SELECT autonomous_session_exec(%L, ''SELECT 1'')', 'SELECT autonomous_session_exec(%L, ''SELECT $1'', 1)',
    'SELECT a FROM autonomous_session_query(%L, ''SELECT 7'') AS (a int)', 'SELECT a FROM autonomous_session_query(%L, ''SELECT $1'', 8) AS (a int)',
    'SELECT autonomous_session_send(%L, ''SELECT 9'')', 'SELECT autonomous_session_is_busy(%L)', 'SELECT a FROM autonomous_session_result(%L) AS (a int)',
    'SELECT autonomous_session_cancel(%L)', 'SELECT autonomous_session_error(%L)', 'SELECT channel FROM autonomous_session_notifications(%L)',
    'SELECT autonomous_session_close(%L)']) WITH ORDINALITY c(call, n);
SELECT * FROM autonomous_sessions();

-- not known; NULL
SELECT n, try(format(call, 'nobody')) FROM calls ORDER BY n;
SELECT n, try(replace(call, '%L', 'NULL')) FROM calls ORDER BY n;
SELECT try('SELECT autonomous_session_open(NULL)');
-- known
SELECT autonomous_session_open('a');
SELECT n, try(format(call, 'a')) FROM calls WHERE call NOT LIKE '%send%' ORDER BY n;
-- closed
SELECT n, try(format(call, 'a')) FROM calls ORDER BY n;
-- twice
SELECT autonomous_session_open('a');
SELECT try('SELECT autonomous_session_open(''a'')');
SELECT autonomous_session_close('a'), autonomous_session_open('a');
-- names are any text, and differ as bytes do
SELECT autonomous_session_open('A'), autonomous_session_open(''), autonomous_session_open(' a'), autonomous_session_open('it''s "odd" %s \ ä');
SELECT session, state FROM autonomous_sessions();
SELECT try($$SELECT autonomous_session_open('it''s "odd" %s \ ä')$$);
SELECT try($$SELECT autonomous_session_exec('it''s "odd" %s \', 'SELECT 1')$$);
SELECT autonomous_session_exec('', 'SELECT 1'), autonomous_session_exec('it''s "odd" %s \ ä', 'SELECT 1');
SELECT autonomous_session_open(repeat('long', 1000));
SELECT length(session) FROM autonomous_sessions() WHERE length(session) > 100;
SELECT count(autonomous_session_close(session)) FROM autonomous_sessions() WHERE session <> 'a';
-- another client's session does not know them; nor does the worker, which has its own
SELECT autonomous_session_exec('a', 'SELECT autonomous_session_open(''inner'')');
SELECT * FROM autonomous_session_query('a', 'SELECT session FROM autonomous_sessions()') AS (session text);
SELECT try('SELECT autonomous_session_exec(''inner'', ''SELECT 1'')');
SELECT autonomous_session_exec('a', 'SELECT autonomous_session_exec(''a'', ''SELECT 1'')');
SELECT session FROM autonomous_sessions();

-- busy: while it runs, and until what was sent is read
SELECT autonomous_session_send('a', 'SELECT 9 FROM pg_sleep(60)');
SELECT session, state FROM autonomous_sessions();
SELECT try('SELECT autonomous_session_open(''a'')');
SELECT n, try(format(call, 'a')) FROM calls WHERE call NOT LIKE '%result%' AND call NOT LIKE '%close%' AND call NOT LIKE '%cancel%' ORDER BY n;
SELECT autonomous_session_cancel('a');
SELECT n, try(format(call, 'a')) FROM calls WHERE call LIKE '%result%' ORDER BY n;
SELECT autonomous_session_exec('a', 'SELECT 1') AS no_longer;
SELECT autonomous_session_send('a', 'SELECT 9');
SELECT try('SELECT autonomous_session_send(''a'', ''SELECT 10'')');
SELECT a FROM autonomous_session_result('a') AS (a int);
SELECT autonomous_session_exec('a', 'SELECT 1') AS all_was_read;
-- closing does not wait
SELECT autonomous_session_send('a', 'SELECT 9 FROM pg_sleep(60)');
SELECT autonomous_session_close('a');
SELECT autonomous_session_open('a'), autonomous_session_exec('a', 'SELECT 1'), autonomous_session_close('a');
-- a call that uses a session within a call that uses it
SELECT autonomous_session_open('a');
CREATE FUNCTION regress_reenter(x text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE '%', try('SELECT autonomous_session_exec(''a'', ''SELECT 2'')');
    RETURN true;
END
$$;
CREATE DOMAIN regress_reentrant AS text CHECK (regress_reenter(VALUE));
SELECT * FROM autonomous_session_query('a', 'SELECT ''x''::text') AS (a regress_reentrant);
SELECT autonomous_session_send('a', 'SELECT ''x''::text');
SELECT * FROM autonomous_session_result('a') AS (a regress_reentrant);
SELECT autonomous_session_close('a');
SELECT count(*) FROM autonomous_sessions();

-- two that share a statement
SELECT autonomous_session_open('a'), autonomous_session_open('b');
SELECT a.x, b.x FROM autonomous_session_query('a', 'SELECT generate_series(1, 2)') AS a(x int), autonomous_session_query('b', 'SELECT generate_series(3, 4)') AS b(x int) ORDER BY 1, 2;
SELECT a.x <> b.x AS two_workers FROM autonomous_session_query('a', 'SELECT pg_backend_pid()') AS a(x int), autonomous_session_query('b', 'SELECT pg_backend_pid()') AS b(x int);
SELECT count(autonomous_session_close(session)) FROM autonomous_sessions();

DROP DOMAIN regress_reentrant;
DROP FUNCTION regress_reenter(text);
DROP VIEW calls;
DROP FUNCTION try(text);
