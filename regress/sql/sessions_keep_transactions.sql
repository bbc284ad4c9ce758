-- Claim: a session's transactions are its own: begun, saved and ended across
-- calls, whatever becomes of the caller's statement, subtransaction or transaction.
\set SHOW_CONTEXT never
CREATE TABLE regress_t (a int PRIMARY KEY, b text);
SELECT autonomous_session_open('s');

-- across calls: seen by the session at once, by others when it commits
SELECT autonomous_session_exec('s', 'BEGIN');
SELECT autonomous_session_exec('s', 'INSERT INTO regress_t VALUES ($1, $2), ($3, NULL)', 1, 'one', 2);
SELECT * FROM autonomous_session_query('s', 'SELECT a, b FROM regress_t ORDER BY a') AS (a int, b text);
SELECT count(*) FROM regress_t;
SELECT autonomous_session_exec('s', 'COMMIT');
SELECT count(*) FROM regress_t;
SELECT autonomous_session_exec('s', 'START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY');
SELECT * FROM autonomous_session_query('s', 'SHOW transaction_isolation') AS i(i text), autonomous_session_query('s', 'SHOW transaction_read_only') AS r(r text);
SELECT autonomous_session_exec('s', 'INSERT INTO regress_t VALUES (3)');
SELECT autonomous_session_exec('s', 'INSERT INTO regress_t VALUES (3)');
SELECT * FROM autonomous_session_query('s', 'SELECT 1') AS (a int);
SELECT autonomous_session_exec('s', 'COMMIT') AS says_so;
SELECT autonomous_session_exec('s', 'COMMIT');
SELECT autonomous_session_exec('s', 'ROLLBACK');
SELECT autonomous_session_exec('s', 'BEGIN'), autonomous_session_exec('s', 'BEGIN');
SELECT autonomous_session_exec('s', 'ABORT AND CHAIN'), autonomous_session_exec('s', 'INSERT INTO regress_t VALUES (4)');
SELECT autonomous_session_exec('s', 'COMMIT AND CHAIN'), autonomous_session_exec('s', 'END');
SELECT count(*) FROM regress_t WHERE a = 4;

-- savepoints
SELECT autonomous_session_exec('s', 'BEGIN; INSERT INTO regress_t VALUES (5); SAVEPOINT x; INSERT INTO regress_t VALUES (6)');
SELECT autonomous_session_exec('s', 'INSERT INTO regress_t VALUES (5)');
SELECT autonomous_session_exec('s', 'ROLLBACK TO x');
SELECT autonomous_session_exec('s', 'INSERT INTO regress_t VALUES (7)'), autonomous_session_exec('s', 'RELEASE x');
SELECT autonomous_session_exec('s', 'ROLLBACK TO x');
SELECT autonomous_session_exec('s', 'ROLLBACK'), (SELECT count(*) FROM regress_t WHERE a > 4);
SELECT autonomous_session_exec('s', 'SAVEPOINT x');

-- several statements of one command are one transaction, unless they end it themselves
SELECT autonomous_session_exec('s', 'INSERT INTO regress_t VALUES (8); SELECT 1/0');
SELECT autonomous_session_exec('s', 'INSERT INTO regress_t VALUES (9); COMMIT; INSERT INTO regress_t VALUES (10); SELECT 1/0');
SELECT autonomous_session_exec('s', 'INSERT INTO regress_t VALUES (11); BEGIN; INSERT INTO regress_t VALUES (12)');
SELECT autonomous_session_exec('s', 'ROLLBACK');
SELECT a FROM regress_t WHERE a > 7 ORDER BY a;
-- at top level, as from a client
SELECT autonomous_session_exec('s', 'VACUUM regress_t');
SELECT autonomous_session_exec('s', 'BEGIN'), autonomous_session_exec('s', 'INSERT INTO regress_t VALUES (13)');
SELECT autonomous_session_exec('s', 'VACUUM regress_t');
SELECT autonomous_session_exec('s', 'ROLLBACK');
SELECT autonomous_session_exec('s', 'DO ''BEGIN INSERT INTO regress_t VALUES (14); COMMIT; INSERT INTO regress_t VALUES (15); ROLLBACK; END''');
SELECT autonomous_session_exec('s', 'COPY regress_t TO STDOUT');
SELECT a FROM regress_t WHERE a > 12 ORDER BY a;
-- prepared transactions, if the server has them
SELECT autonomous_session_exec('s', 'BEGIN; INSERT INTO regress_t VALUES (16); PREPARE TRANSACTION ''regress_aside''');
SELECT count(*) FROM regress_t WHERE a = 16;
COMMIT PREPARED 'regress_aside';
SELECT count(*) FROM regress_t WHERE a = 16;
-- deferred constraints fail at the commit
SELECT autonomous_session_exec('s', 'CREATE TABLE regress_d (a int REFERENCES regress_t DEFERRABLE INITIALLY DEFERRED)');
SELECT autonomous_session_exec('s', 'BEGIN'), autonomous_session_exec('s', 'INSERT INTO regress_d VALUES (99)');
SELECT autonomous_session_exec('s', 'COMMIT');
SELECT autonomous_session_exec('s', 'INSERT INTO regress_d VALUES (99)');
SELECT autonomous_session_exec('s', 'DROP TABLE regress_d');

-- the caller's end is nothing to it: a rollback, an error, a subtransaction, a statement
TRUNCATE regress_t;
BEGIN;
SELECT autonomous_session_exec('s', 'BEGIN'), autonomous_session_exec('s', 'INSERT INTO regress_t VALUES (1)');
SELECT autonomous_session_open('of rolled back');
ROLLBACK;
SELECT autonomous_session_exec('s', 'INSERT INTO regress_t VALUES (2)'), autonomous_session_exec('of rolled back', 'SELECT 1');
SELECT autonomous_session_exec('s', 'INSERT INTO regress_t VALUES (3)'), 1/0;
BEGIN;
SELECT 1/0;
SELECT autonomous_session_exec('s', 'INSERT INTO regress_t VALUES (4)') AS not_even_called;
ROLLBACK;
DO $$
BEGIN
    BEGIN
        PERFORM autonomous_session_exec('s', 'INSERT INTO regress_t VALUES (5)');
        PERFORM autonomous_session_open('of a subtransaction');
        PERFORM 1/0;
    EXCEPTION WHEN division_by_zero THEN
        PERFORM autonomous_session_exec('s', 'INSERT INTO regress_t VALUES (6)');
    END;
    BEGIN
        PERFORM autonomous_session_exec('s', 'SAVEPOINT x');
        PERFORM autonomous_session_exec('s', 'INSERT INTO regress_t VALUES (6)');
    EXCEPTION WHEN unique_violation THEN
        PERFORM autonomous_session_exec('s', 'ROLLBACK TO x');
    END;
END
$$;
SELECT autonomous_session_exec('s', 'COMMIT'), autonomous_session_exec('of a subtransaction', 'SELECT 1');
SELECT a FROM regress_t ORDER BY a;
SELECT session, state FROM autonomous_sessions();
-- a statement of the caller's that is not read to its end
BEGIN;
DECLARE c CURSOR FOR SELECT g, autonomous_session_exec('s', 'INSERT INTO regress_t VALUES ($1)', g) FROM generate_series(10, 20) g;
FETCH 2 FROM c;
CLOSE c;
COMMIT;
SELECT a FROM regress_t WHERE a >= 10 ORDER BY a;
SELECT * FROM autonomous_session_query('s', 'SELECT generate_series(1, 1000)') AS (a int) LIMIT 1;
-- within a procedure that commits
CREATE PROCEDURE regress_p() LANGUAGE plpgsql AS $$
BEGIN
    PERFORM autonomous_session_exec('s', 'BEGIN');
    FOR i IN 30 .. 32 LOOP
        PERFORM autonomous_session_exec('s', 'INSERT INTO regress_t VALUES ($1)', i);
        INSERT INTO regress_t VALUES (i + 10);
        IF i = 31 THEN ROLLBACK; ELSE COMMIT; END IF;
    END LOOP;
    PERFORM autonomous_session_exec('s', 'COMMIT');
END
$$;
CALL regress_p();
SELECT a FROM regress_t WHERE a >= 30 ORDER BY a;
-- closed with an open transaction: rolled back
SELECT autonomous_session_exec('s', 'BEGIN'), autonomous_session_exec('s', 'DELETE FROM regress_t');
SELECT autonomous_session_close('s');
SELECT count(*) FROM regress_t;
-- and so with the caller's own session
SELECT autonomous_session_exec('of rolled back', 'BEGIN'), autonomous_session_exec('of rolled back', 'DELETE FROM regress_t');
\c
SELECT count(*) AS sessions FROM autonomous_sessions();
-- the rollback is the worker's, when the client has gone
CALL until($$NOT EXISTS (SELECT FROM pg_locks WHERE relation = 'regress_t'::regclass AND mode = 'RowExclusiveLock')$$);
SELECT count(*) FROM regress_t;

DROP PROCEDURE regress_p();
DROP TABLE regress_t;
