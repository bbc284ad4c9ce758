-- Claim: dblink_open begins a transaction where none is open, closing the last
-- cursor commits it, and a transaction that the user began is left alone.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION aside_dblink;
RESET client_min_messages;
CREATE TABLE regress_t AS SELECT g AS a, chr(96 + g) AS b FROM generate_series(1, 9) g;
-- within a transaction block a cursor can be declared, outside of one it is 25P01
CREATE FUNCTION in_block(conn text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM dblink_exec(conn, 'SAVEPOINT regress_probe');
    PERFORM dblink_exec(conn, 'RELEASE regress_probe');
    RETURN true;
EXCEPTION WHEN no_active_sql_transaction THEN
    RETURN false;
END
$$;

-- the unnamed connection
SELECT dblink_open('c', 'SELECT 1');
SELECT * FROM dblink_fetch('c', 1) AS t(a int);
SELECT dblink_close('c');
SELECT dblink_connect('');
SELECT dblink_open('c', 'SELECT * FROM regress_t ORDER BY a');
SELECT * FROM dblink_fetch('c', 4) AS t(a int, b text);
SELECT * FROM dblink_fetch('c', 4, true) AS t(a bigint, b char(1));
SELECT * FROM dblink_fetch('c', 4) AS t(a int, b text);
SELECT * FROM dblink_fetch('c', 4) AS t(a int, b text);
SELECT * FROM dblink_fetch('c', -2) AS t(a int, b text);
SELECT * FROM dblink_fetch('c', 1) AS t(a int);
SELECT dblink_close('c');
SELECT * FROM dblink_fetch('c', 4) AS t(a int, b text);
SELECT * FROM dblink_fetch('c', 4, false) AS t(a int, b text);
SELECT dblink_close('c');
SELECT dblink_close('c', false);
SELECT dblink_open('c', 'SELECT * FROM nothing', false);
SELECT dblink_exec('ABORT');
SELECT dblink_open('c', 'SELECT * FROM nothing');
SELECT dblink_exec('ABORT');
SELECT dblink_disconnect();

-- named: counted, and committed with the last one
SELECT dblink_connect('one', ''), in_block('one');
SELECT dblink_open('one', 'c1', 'SELECT 1'), in_block('one');
SELECT dblink_exec('one', 'INSERT INTO regress_t VALUES (10, ''j'')');
SELECT dblink_open('one', 'c2', 'SELECT 2', true), in_block('one');
SELECT dblink_open('one', 'c3', 'SELECT 3', false), in_block('one');
SELECT * FROM dblink_fetch('one', 'c2', 1) AS t(a int), dblink_fetch('one', 'c3', 1, false) AS u(a int);
SELECT dblink_close('one', 'c2'), in_block('one');
SELECT count(*) AS not_yet FROM regress_t WHERE a = 10;
SELECT dblink_close('one', 'c1', true), in_block('one');
SELECT dblink_close('one', 'c3', false), in_block('one');
SELECT count(*) AS committed FROM regress_t WHERE a = 10;
-- the user's own transaction
SELECT dblink_exec('one', 'BEGIN'), dblink_exec('one', 'INSERT INTO regress_t VALUES (11, ''k'')');
SELECT dblink_open('one', 'c1', 'SELECT 1'), dblink_open('one', 'c2', 'SELECT 1');
SELECT dblink_close('one', 'c1'), dblink_close('one', 'c2');
SELECT in_block('one') AS still, (SELECT count(*) FROM regress_t WHERE a = 11) AS committed;
SELECT dblink_exec('one', 'ROLLBACK'), in_block('one');
-- a transaction that is ended by hand takes the count with it
SELECT dblink_open('one', 'c1', 'SELECT 1'), dblink_open('one', 'c2', 'SELECT 1');
SELECT dblink_exec('one', 'ROLLBACK'), in_block('one');
SELECT dblink_open('one', 'c1', 'SELECT 1'), in_block('one');
SELECT dblink_close('one', 'c1'), in_block('one');
SELECT dblink_open('one', 'c1', 'SELECT 1'), dblink_exec('one', 'COMMIT'), in_block('one');
SELECT dblink_exec('one', 'BEGIN'), dblink_open('one', 'c1', 'SELECT 1'), dblink_close('one', 'c1'), in_block('one');
SELECT dblink_exec('one', 'COMMIT');
-- a savepoint takes back what was opened after it, its count too
SELECT dblink_open('one', 'c1', 'SELECT 1'), dblink_exec('one', 'SAVEPOINT s'), dblink_open('one', 'c2', 'SELECT 1');
SELECT dblink_exec('one', 'ROLLBACK TO s');
SELECT dblink_close('one', 'c1'), in_block('one');
-- an error leaves the transaction aborted: dblink_open, dblink_fetch, dblink_close
SELECT dblink_open('one', 'c1', 'SELECT 1 / (3 - g) FROM generate_series(1, 5) g');
SELECT * FROM dblink_fetch('one', 'c1', 2) AS t(a int);
SELECT * FROM dblink_fetch('one', 'c1', 2, false) AS t(a int);
SELECT * FROM dblink_fetch('one', 'c1', 2, false) AS t(a int);
SELECT dblink_open('one', 'c2', 'SELECT 1', false);
SELECT dblink_close('one', 'c1', false);
SELECT dblink_open('one', 'c2', 'SELECT 1');
SELECT dblink_exec('one', 'ROLLBACK'), in_block('one');
SELECT dblink_open('one', 'c2', 'SELECT 1'), dblink_close('one', 'c2'), in_block('one');
-- the same name twice
SELECT dblink_open('one', 'c1', 'SELECT 1');
SELECT dblink_open('one', 'c1', 'SELECT 1', false);
SELECT dblink_exec('one', 'ROLLBACK');
-- a cursor outlives the caller's rollback: its transaction is another one
BEGIN;
SELECT dblink_open('one', 'c1', 'SELECT * FROM regress_t ORDER BY a');
SELECT * FROM dblink_fetch('one', 'c1', 1) AS t(a int, b text);
ROLLBACK;
SELECT * FROM dblink_fetch('one', 'c1', 1) AS t(a int, b text);
SELECT dblink_close('one', 'c1'), in_block('one');
-- a connection string is no connection here
SELECT dblink_open('dbname=regression', 'c1', 'SELECT 1');
SELECT * FROM dblink_fetch('dbname=regression', 'c1', 1) AS t(a int);
SELECT dblink_close('dbname=regression', 'c1');
-- disconnecting rolls back
SELECT dblink_open('one', 'c1', 'SELECT 1'), dblink_exec('one', 'DELETE FROM regress_t');
SELECT dblink_disconnect('one');
SELECT count(*) FROM regress_t;

DROP TABLE regress_t;
DROP FUNCTION in_block(text);
DROP EXTENSION aside_dblink;
