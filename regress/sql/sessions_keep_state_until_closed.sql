-- Claim: cursors, temporary tables, settings, prepared statements, advisory locks
-- and channels of a session are there in its next command, whoever else calls in
-- between, and gone when it is closed: the worker's next tenant finds nothing.
\set SHOW_CONTEXT never
SELECT autonomous_session_open('s');
SELECT p AS worker FROM autonomous_session_query('s', 'SELECT pg_backend_pid()') AS (p int) \gset
SELECT p = :worker AS same_worker, p <> pg_backend_pid() AS not_the_caller FROM autonomous_session_query('s', 'SELECT pg_backend_pid()') AS (p int);
SELECT pid = :worker AS same_worker, database = current_database() AS here, state, opened BETWEEN now() - interval '1 h' AND clock_timestamp() AS opened
FROM autonomous_sessions();

-- cursors
SELECT autonomous_session_exec('s', 'BEGIN'), autonomous_session_exec('s', 'DECLARE regress_c SCROLL CURSOR FOR SELECT g FROM generate_series(1, 5) g');
SELECT * FROM autonomous_session_query('s', 'FETCH 2 FROM regress_c') AS (a int);
SELECT * FROM autonomous_session_query('s', 'FETCH BACKWARD 1 FROM regress_c') AS (a bigint);
SELECT autonomous_session_exec('s', 'MOVE 3 IN regress_c'), autonomous_session_exec('s', 'FETCH ALL FROM regress_c');
SELECT autonomous_session_exec('s', 'CLOSE regress_c'), autonomous_session_exec('s', 'COMMIT');
SELECT autonomous_session_exec('s', 'DECLARE regress_c CURSOR FOR SELECT 1');
SELECT autonomous_session_exec('s', 'DECLARE regress_h CURSOR WITH HOLD FOR SELECT g FROM generate_series(1, 3) g');
SELECT * FROM autonomous_session_query('s', 'FETCH 2 FROM regress_h') AS (a int);
SELECT * FROM autonomous_session_query('s', 'FETCH 2 FROM regress_h') AS (a int);
-- temporary tables
SELECT autonomous_session_exec('s', 'CREATE TEMP TABLE regress_temp (a int)');
SELECT autonomous_session_exec('s', 'INSERT INTO regress_temp SELECT generate_series(1, $1)', 4);
SELECT * FROM autonomous_session_query('s', 'SELECT count(*) FROM regress_temp') AS (n bigint);
SELECT to_regclass('regress_temp') IS NULL AS not_the_callers;
-- prepared statements
SELECT autonomous_session_exec('s', 'PREPARE regress_p(int) AS SELECT $1 * 2');
SELECT * FROM autonomous_session_query('s', 'EXECUTE regress_p(21)') AS (a int);
-- settings: of the session, and of a transaction in it
SELECT autonomous_session_exec('s', 'SET regress.trace = ''kept'''), autonomous_session_exec('s', 'SET work_mem = ''9MB''');
SELECT * FROM autonomous_session_query('s', 'SELECT current_setting(''regress.trace''), current_setting(''work_mem'')') AS (a text, b text);
SELECT autonomous_session_exec('s', 'BEGIN'), autonomous_session_exec('s', 'SET LOCAL work_mem = ''10MB''; SET regress.trace = 2');
SELECT * FROM autonomous_session_query('s', 'SHOW work_mem') AS a(a text), autonomous_session_query('s', 'SHOW regress.trace') AS b(b text);
SELECT autonomous_session_exec('s', 'ROLLBACK');
SELECT * FROM autonomous_session_query('s', 'SHOW work_mem') AS a(a text), autonomous_session_query('s', 'SHOW regress.trace') AS b(b text);
-- those that the caller makes after the session was opened stay with the caller
SET regress.trace = 'callers'; SET work_mem = '5MB'; SET search_path = pg_catalog;
SELECT * FROM public.autonomous_session_query('s', 'SELECT current_setting(''regress.trace''), current_setting(''work_mem''), current_setting(''search_path'')') AS (a text, b text, c text);
RESET search_path; RESET work_mem;
-- advisory locks, sequences
SELECT autonomous_session_exec('s', 'SELECT pg_advisory_lock(4242)');
SELECT pg_try_advisory_lock(4242) AS free;
CREATE SEQUENCE regress_s;
SELECT autonomous_session_exec('s', 'SELECT nextval(''regress_s'')');
SELECT * FROM autonomous_session_query('s', 'SELECT currval(''regress_s''), lastval()') AS (a bigint, b bigint);
-- channels: each notification once, in order
SELECT autonomous_session_exec('s', 'LISTEN regress_a'), autonomous_session_exec('s', 'LISTEN regress_b');
SELECT * FROM autonomous_session_notifications('s');
NOTIFY regress_a, '1'; NOTIFY regress_b; NOTIFY regress_none; NOTIFY regress_a, '2';
SELECT channel, payload, pid = pg_backend_pid() AS by_me FROM autonomous_session_notifications('s');
SELECT * FROM autonomous_session_notifications('s');
BEGIN; NOTIFY regress_a, 'rolled back'; ROLLBACK;
BEGIN; NOTIFY regress_a, 'in time'; SELECT count(*) FROM autonomous_session_notifications('s'); COMMIT;
SELECT channel, payload FROM autonomous_session_notifications('s');
SELECT autonomous_session_exec('s', 'BEGIN'), autonomous_session_exec('s', 'NOTIFY regress_b, ''own''');
SELECT count(*) FROM autonomous_session_notifications('s');
SELECT autonomous_session_exec('s', 'COMMIT');
SELECT channel, payload, pid = :worker AS its_own FROM autonomous_session_notifications('s');
SELECT autonomous_session_exec('s', 'UNLISTEN regress_a');
NOTIFY regress_a; NOTIFY regress_b, 'still';
SELECT channel, payload FROM autonomous_session_notifications('s');
SELECT autonomous_exec('LISTEN regress_a') AS listening_takes_a_session;
-- DISCARD, RESET
SELECT autonomous_session_exec('s', 'RESET work_mem');
SELECT * FROM autonomous_session_query('s', 'SHOW work_mem') AS (a text);

-- what a tenant can see of another, as the worker sees it
CREATE FUNCTION regress_traces(OUT worker int, OUT traces text) LANGUAGE sql AS $f$
    SELECT * FROM autonomous_query($$
        SELECT pg_backend_pid(), coalesce((SELECT string_agg(t, ', ' ORDER BY t) FROM (
            SELECT 'temp table ' || relname FROM pg_class WHERE relnamespace = pg_my_temp_schema()
            UNION ALL
            SELECT 'prepared ' || name FROM pg_prepared_statements WHERE name LIKE 'regress%'
            UNION ALL
            SELECT 'cursor ' || name FROM pg_cursors WHERE name LIKE 'regress%'
            UNION ALL
            SELECT 'lock ' || objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
            UNION ALL
            SELECT 'channel ' || c FROM pg_listening_channels() c
            UNION ALL
            SELECT 'setting ' || current_setting('regress.trace', true) WHERE current_setting('regress.trace', true) <> 'callers'
            UNION ALL
            SELECT 'work_mem' WHERE current_setting('work_mem') = '9MB'
            UNION ALL
            SELECT 'role ' || current_user WHERE current_user <> session_user
            UNION ALL
            SELECT 'read only' WHERE current_setting('transaction_read_only') = 'on'
        ) x(t)), 'none')
    $$) AS (p int, t text)
$f$;
-- with everything in use, in an open and in a failed transaction
SELECT autonomous_session_exec('s', 'SET work_mem = ''9MB'''), autonomous_session_exec('s', 'SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY');
SELECT autonomous_session_exec('s', 'BEGIN'), autonomous_session_exec('s', 'DECLARE regress_c CURSOR FOR SELECT 1'), autonomous_session_exec('s', 'SELECT 1/0');
-- the next tenant's worker is this one if no other is idle
SELECT bool_and(pg_terminate_backend(pid, 10000)) IS NOT false AS no_other FROM aside.workers
WHERE pid <> :worker AND state = 'idle' AND database = current_database();
SELECT autonomous_session_close('s');
SELECT worker = :worker AS same_worker, traces FROM regress_traces();
SELECT pg_try_advisory_lock(4242) AS free, pg_advisory_unlock(4242);
SELECT autonomous_exec('SELECT lastval()');
NOTIFY regress_b, 'nobody';
SELECT autonomous_session_open('s');
SELECT * FROM autonomous_session_notifications('s');
SELECT autonomous_session_exec('s', 'FETCH 1 FROM regress_h');
SELECT autonomous_session_exec('s', 'SELECT * FROM regress_temp');
SELECT autonomous_session_exec('s', 'EXECUTE regress_p(1)');
SELECT autonomous_session_exec('s', 'CREATE TEMP TABLE regress_temp (a int)');
-- single calls in between are another worker's
SELECT p <> s AS another_worker, t IS NULL AS sees_nothing
FROM autonomous_query('SELECT pg_backend_pid(), to_regclass(''regress_temp'')::text') AS q(p int, t text),
    autonomous_session_query('s', 'SELECT pg_backend_pid()') AS s(s int);
SELECT autonomous_session_close('s');
-- settings that the caller made before it opened a session come along
SELECT autonomous_session_open('t');
SELECT * FROM autonomous_session_query('t', 'SHOW regress.trace') AS (a text);
SELECT autonomous_session_close('t');
SELECT count(*) AS temp_relations FROM pg_class WHERE relpersistence = 't' AND relname LIKE 'regress%';
SELECT count(*) AS sessions FROM autonomous_sessions();

DROP FUNCTION regress_traces();
DROP SEQUENCE regress_s;
