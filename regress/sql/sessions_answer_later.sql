-- Claim: what was sent to a session runs while the caller goes on, and is read one
-- result set a call, whatever its size and type; errors, cancels and unread results
-- leave the session fit for the next command.
\set SHOW_CONTEXT never
CREATE TABLE regress_t (a int, b text);
SELECT autonomous_session_open('s');

-- one statement
SELECT autonomous_session_send('s', 'SELECT 42, ''x'' FROM pg_sleep(0.5)');
SELECT autonomous_session_is_busy('s');
SELECT * FROM autonomous_session_result('s') AS (a bigint, b text);
SELECT * FROM autonomous_session_result('s') AS (a bigint, b text);
SELECT autonomous_session_is_busy('s');
-- arguments
SELECT autonomous_session_send('s', 'SELECT $1, $2 + 1, $3', 'one', 2, NULL::date);
SELECT * FROM autonomous_session_result('s') AS (a text, b int, c date);
-- several: result sets in order, what has no rows is passed over, then none
SELECT autonomous_session_send('s', 'SELECT 1; INSERT INTO regress_t SELECT g, ''x'' FROM generate_series(1, 3) g; SELECT 2, ''two''; SELECT 3 WHERE false; UPDATE regress_t SET b = ''y'' RETURNING a');
SELECT * FROM autonomous_session_result('s') AS (a int);
SELECT * FROM autonomous_session_result('s') AS (a int, b text);
SELECT * FROM autonomous_session_result('s') AS (a int);
SELECT * FROM autonomous_session_result('s') AS (a int);
SELECT * FROM autonomous_session_result('s') AS (a int);
SELECT * FROM autonomous_session_result('s') AS (a int);
SELECT a, b FROM regress_t ORDER BY a;
-- nothing that has rows; nothing at all
SELECT autonomous_session_send('s', 'INSERT INTO regress_t VALUES (4, ''z''); DELETE FROM regress_t WHERE a = 4');
SELECT * FROM autonomous_session_result('s') AS (a int);
SELECT autonomous_session_send('s', '');
SELECT * FROM autonomous_session_result('s') AS (a int);
SELECT autonomous_session_send('s', ' ; /* nothing */ ;; SELECT 1;;');
SELECT * FROM autonomous_session_result('s') AS (a int);
SELECT * FROM autonomous_session_result('s') AS (a int);
SELECT autonomous_session_exec('s', ''), autonomous_session_exec('s', '-- nothing'), autonomous_session_exec('s', ' ; ');
SELECT * FROM autonomous_session_query('s', '') AS (a int);
SELECT * FROM autonomous_session_query('s', 'INSERT INTO regress_t VALUES (5)') AS (a int);
SELECT autonomous_session_exec('s', NULL);
SELECT autonomous_session_send('s', NULL);
-- a transaction across what is sent
SELECT autonomous_session_send('s', 'BEGIN; INSERT INTO regress_t VALUES (6)');
SELECT * FROM autonomous_session_result('s') AS (a int);
SELECT autonomous_session_send('s', 'INSERT INTO regress_t VALUES (7); COMMIT; SELECT count(*) FROM regress_t WHERE a > 5');
SELECT * FROM autonomous_session_result('s') AS (a int);
SELECT * FROM autonomous_session_result('s') AS (a int);
-- the columns that are expected: assigned as by autonomous_query, else 42804, and the next result is there
SELECT autonomous_session_send('s', 'SELECT 1, 2; SELECT ''x''::text; SELECT 3');
SELECT * FROM autonomous_session_result('s') AS (a int);
SELECT * FROM autonomous_session_result('s') AS (a int);
SELECT * FROM autonomous_session_result('s') AS (a numeric);
SELECT * FROM autonomous_session_result('s') AS (a int);

-- errors: at once, midway, in the expected place; the last message is remembered
SELECT autonomous_session_error('s');
SELECT autonomous_session_send('s', 'SELECT * FROM nothing');
SELECT * FROM autonomous_session_result('s') AS (a int);
SELECT * FROM autonomous_session_result('s') AS (a int);
SELECT autonomous_session_send('s', 'SELECT 1; INSERT INTO regress_t VALUES (8); SELECT 1/0; SELECT 2');
SELECT * FROM autonomous_session_result('s') AS (a int);
SELECT autonomous_session_error('s');
SELECT * FROM autonomous_session_result('s') AS (a int);
SELECT autonomous_session_error('s');
SELECT * FROM autonomous_session_result('s') AS (a int);
SELECT autonomous_session_exec('s', 'SELECT 1'), autonomous_session_error('s');
SELECT autonomous_session_exec('s', 'SELECT syntax error');
SELECT autonomous_session_error('s');
SELECT count(*) FROM regress_t WHERE a = 8;
SELECT autonomous_session_send('s', 'SELECT g / (g - 5000) FROM generate_series(1, 10000) g');
SELECT count(*) FROM autonomous_session_result('s') AS (a int);
SELECT count(*) FROM autonomous_session_result('s') AS (a int);
-- notices arrive when results are read
SELECT autonomous_session_send('s', 'DO ''BEGIN RAISE NOTICE ''''one''''; RAISE WARNING ''''two''''; END''; SELECT 1');
CALL until($$NOT autonomous_session_is_busy('s')$$);
SELECT * FROM autonomous_session_result('s') AS (a int);

-- more than a queue holds: the worker waits, which is not busy; and more than work_mem, cast on the way
SELECT autonomous_session_send('s', 'SELECT g, repeat(''x'', 500) FROM generate_series(1, 20000) g');
CALL until($$NOT autonomous_session_is_busy('s')$$);
SET work_mem = '64kB';
SELECT count(*), sum(a), sum(length(b)) FROM autonomous_session_result('s') AS (a bigint, b varchar);
SELECT * FROM autonomous_session_result('s') AS (a int);
SELECT count(*), sum(a), sum(length(b)) FROM autonomous_session_query('s', 'SELECT g, repeat(''x'', 500) FROM generate_series(1, 20000) g') AS (a bigint, b varchar);
RESET work_mem;
SELECT autonomous_session_send('s', 'SELECT repeat(''y'', 3000000); SELECT 2');
SELECT length(a) FROM autonomous_session_result('s') AS (a text);
SELECT * FROM autonomous_session_result('s') AS (a int);
-- cancelled while it waits to be read; closed while it does
SELECT autonomous_session_send('s', 'SELECT g, repeat(''x'', 500) FROM generate_series(1, 20000) g');
CALL until($$NOT autonomous_session_is_busy('s')$$);
SELECT autonomous_session_cancel('s');
SELECT count(*) FROM autonomous_session_result('s') AS (a int, b text);
SELECT * FROM autonomous_session_result('s') AS (a int, b text);
SELECT autonomous_session_send('s', 'SELECT g, repeat(''x'', 500) FROM generate_series(1, 20000) g');
CALL until($$NOT autonomous_session_is_busy('s')$$);
SELECT autonomous_session_close('s'), autonomous_session_open('s');
-- unread, and gone with an open transaction
SELECT autonomous_session_send('s', 'BEGIN; INSERT INTO regress_t VALUES (9); SELECT 1');
CALL until($$NOT autonomous_session_is_busy('s')$$);
SELECT autonomous_session_close('s'), autonomous_session_open('s');
SELECT count(*) FROM regress_t WHERE a = 9;

-- cancel: before anything, while it runs, twice, after
SELECT autonomous_session_cancel('s');
SELECT autonomous_session_send('s', 'INSERT INTO regress_t SELECT 10 FROM pg_sleep(60)');
SELECT autonomous_session_cancel('s'), autonomous_session_cancel('s') IS NOT NULL AS twice;
SELECT * FROM autonomous_session_result('s') AS (a int);
SELECT autonomous_session_cancel('s'), autonomous_session_is_busy('s'), autonomous_session_error('s');
SELECT autonomous_session_exec('s', 'SELECT pg_sleep(0.05)') AS hit_by_nothing;
SELECT autonomous_session_send('s', 'SELECT 1');
CALL until($$NOT autonomous_session_is_busy('s')$$);
SELECT autonomous_session_cancel('s') AS too_late;
SELECT * FROM autonomous_session_result('s') AS (a int);
-- many times, at every moment: cancelled or done, never both, never neither
DO $$
DECLARE
    done int := 0;
    cancelled int := 0;
BEGIN
    TRUNCATE regress_t;
    COMMIT;
    FOR i IN 1 .. 200 LOOP
        PERFORM autonomous_session_send('s', 'INSERT INTO regress_t VALUES ($1)', i);
        IF i % 4 > 0 THEN
            PERFORM pg_sleep((i % 10) * 0.0001);
        END IF;
        PERFORM autonomous_session_cancel('s');
        BEGIN
            PERFORM * FROM autonomous_session_result('s') AS (a int);
            done := done + 1;
        EXCEPTION WHEN query_canceled THEN
            cancelled := cancelled + 1;
        END;
    END LOOP;
    RAISE NOTICE 'all: %, as many rows: %', done + cancelled, (SELECT count(*) = done FROM regress_t);
END
$$;
SELECT autonomous_session_exec('s', 'SELECT 1');
-- cancelled in a transaction block: it has failed, and can be rolled back to a savepoint
SELECT autonomous_session_exec('s', 'BEGIN; INSERT INTO regress_t VALUES (1001); SAVEPOINT x');
SELECT autonomous_session_send('s', 'SELECT pg_sleep(60)'), autonomous_session_cancel('s');
SELECT * FROM autonomous_session_result('s') AS (a text);
SELECT autonomous_session_exec('s', 'SELECT 1');
SELECT autonomous_session_exec('s', 'ROLLBACK TO x'), autonomous_session_exec('s', 'COMMIT');
SELECT a FROM regress_t WHERE a > 1000;

-- many at once
DO $$
BEGIN
    FOR i IN 1 .. 4 LOOP PERFORM autonomous_session_open('p' || i); END LOOP;
    FOR i IN 1 .. 4 LOOP PERFORM autonomous_session_send('p' || i, 'SELECT $1 FROM pg_sleep(0.5)', i); END LOOP;
END
$$;
SELECT session, state FROM autonomous_sessions() WHERE session LIKE 'p%';
SELECT s.i, r.a FROM generate_series(1, 4) s(i), LATERAL (SELECT * FROM autonomous_session_result('p' || s.i) AS (a int)) r ORDER BY 1;
SELECT count(autonomous_session_close(session)) FROM autonomous_sessions();

-- refused while nobody waits, as in a single call
SELECT autonomous_session_open('s');
SELECT autonomous_session_send('s', 'COPY regress_t TO STDOUT');
SELECT * FROM autonomous_session_result('s') AS (a text);
-- CREATE INDEX CONCURRENTLY waits for the caller's snapshot: where it is sent, the caller can go on
\set VERBOSITY sqlstate
SELECT autonomous_session_exec('s', 'CREATE INDEX CONCURRENTLY regress_i ON regress_t (a)');
\set VERBOSITY default
SELECT autonomous_session_send('s', 'CREATE INDEX CONCURRENTLY regress_i ON regress_t (a)');
CALL until($$NOT autonomous_session_is_busy('s')$$);
SELECT * FROM autonomous_session_result('s') AS (a text);
SELECT indisvalid FROM pg_index WHERE indexrelid = 'regress_i'::regclass;
SELECT autonomous_session_close('s');

DROP TABLE regress_t;
