-- Claim: BEGIN, COMMIT and the like inside a command raise 0A000 with a hint
-- that names sessions; COPY to or from the client and LISTEN raise 0A000; the
-- whole command is undone, and the next call is well.
CREATE TABLE regress_t (id int);
CREATE FUNCTION regress_try(command text, OUT code text, OUT names_sessions boolean)
LANGUAGE plpgsql AS $$
DECLARE
    h text;
BEGIN
    PERFORM autonomous_exec(command);
    code := 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS h = PG_EXCEPTION_HINT;
    code := SQLSTATE;
    names_sessions := h ILIKE '%session%';
END
$$;

SELECT command, t.* FROM unnest(ARRAY[
    'BEGIN',
    'START TRANSACTION',
    'COMMIT',
    'COMMIT AND CHAIN',
    'END',
    'ROLLBACK',
    'ABORT',
    'SAVEPOINT s',
    'RELEASE s',
    'ROLLBACK TO s',
    'PREPARE TRANSACTION ''regress''',
    'COMMIT PREPARED ''regress''',
    'ROLLBACK PREPARED ''regress''',
    '/* hidden */ COMMIT; -- so',
    'BEGIN; INSERT INTO regress_t VALUES (1); COMMIT',
    'INSERT INTO regress_t VALUES (1); COMMIT; INSERT INTO regress_t VALUES (2)',
    'INSERT INTO regress_t VALUES (1); ROLLBACK',
    'SAVEPOINT s; INSERT INTO regress_t VALUES (1); RELEASE s',
    'INSERT INTO regress_t VALUES (1); COMMIT; this is not SQL'
]) WITH ORDINALITY AS c(command, n), regress_try(command) t ORDER BY n;
SELECT count(*) FROM regress_t;

-- words, not statements: these are fine
SELECT command, code FROM unnest(ARRAY[
    'INSERT INTO regress_t SELECT 1 WHERE ''COMMIT'' = ''BEGIN; COMMIT;''',
    'DO $d$BEGIN BEGIN NULL; END; END$d$',
    'SELECT 1 AS begin, 2 AS "commit"'
]) AS command, regress_try(command);

-- the other entries refuse the same
\set VERBOSITY sqlstate
SELECT * FROM autonomous_query('COMMIT') AS (a int);
SELECT * FROM autonomous_query('INSERT INTO regress_t VALUES (1) RETURNING id; COMMIT') AS (a int);
SELECT * FROM autonomous_query_as(NULL::int, 'BEGIN; SELECT 1');
SELECT * FROM autonomous_json('ROLLBACK');

-- COPY to and from the client, LISTEN: alone, among others, below a function
SELECT command, code FROM unnest(ARRAY[
    'COPY regress_t TO STDOUT',
    'COPY regress_t FROM STDIN',
    'COPY (SELECT 1) TO STDOUT',
    'COPY regress_t TO STDOUT (FORMAT binary)',
    'INSERT INTO regress_t VALUES (1); COPY regress_t TO STDOUT',
    'COPY regress_t FROM STDIN; INSERT INTO regress_t VALUES (1)',
    'DO $d$BEGIN INSERT INTO regress_t VALUES (1); EXECUTE ''COPY regress_t TO STDOUT''; END$d$',
    'LISTEN regress',
    'UNLISTEN regress',
    'UNLISTEN *',
    'INSERT INTO regress_t VALUES (1); LISTEN regress',
    'DO $d$BEGIN INSERT INTO regress_t VALUES (1); EXECUTE ''LISTEN regress''; END$d$'
]) WITH ORDINALITY AS c(command, n), regress_try(command) ORDER BY n;
SELECT * FROM regress_t;

-- NOTIFY is no trouble
SELECT autonomous_exec('NOTIFY regress, ''hello''');

-- nor is COPY to or from the server's side
TRUNCATE regress_t;
SELECT autonomous_exec('COPY regress_t FROM PROGRAM ''echo 7''');
SELECT * FROM regress_t;

DROP FUNCTION regress_try(text);
DROP TABLE regress_t;
