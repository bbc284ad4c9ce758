-- Claim: the caller's statement_timeout ends the autonomous transaction before
-- the caller's error is raised; a worker that waits for its own caller's locks
-- raises 40P01 at once, with the chain in the DETAIL, and the caller goes on.
\set VERBOSITY sqlstate
CREATE TABLE regress_t (id int PRIMARY KEY, x text);
CREATE TABLE regress_u (t int REFERENCES regress_t);
INSERT INTO regress_t VALUES (1, 'one'), (2, 'two');

-- timeouts of the caller: 57014, nothing committed, not later either
SET statement_timeout = '200ms';
SELECT autonomous_exec('INSERT INTO regress_t VALUES (3); SELECT pg_sleep(60)');
SELECT count(*) FROM regress_t;
SELECT * FROM autonomous_query('INSERT INTO regress_t VALUES (3) RETURNING pg_sleep(60)::text') AS (a text);
SELECT * FROM autonomous_json('INSERT INTO regress_t VALUES (3); SELECT pg_sleep(60)');
SELECT autonomous_exec('DO ''BEGIN INSERT INTO regress_t VALUES (3); LOOP NULL; END LOOP; END''');
-- even if the worker would rather not be cancelled
SELECT autonomous_exec('DO ''BEGIN INSERT INTO regress_t VALUES (3); BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END''');
-- what a procedure had committed stays committed
SELECT autonomous_exec('DO ''BEGIN INSERT INTO regress_t VALUES (4); COMMIT; INSERT INTO regress_t VALUES (5); PERFORM pg_sleep(60); END''');
RESET statement_timeout;
SELECT id FROM regress_t ORDER BY id;
-- the worker has what remains, not the whole: several calls share one limit
SET statement_timeout = '600ms';
SELECT count(autonomous_exec('SELECT pg_sleep(0.1)')) FROM generate_series(1, 30);
RESET statement_timeout;
-- set inside the command, it is the command's own
SELECT autonomous_exec('SET statement_timeout = ''1h''; SELECT 1');
-- idle_in_transaction_session_timeout is about idleness, of which there is none
BEGIN;
SET LOCAL idle_in_transaction_session_timeout = '500ms';
SELECT autonomous_exec('SELECT pg_sleep(1)');
ROLLBACK;
DELETE FROM regress_t WHERE id > 2;

-- self-deadlocks: each caught, with its code, its time and its DETAIL; the
-- server's own detector is kept out of it
SET deadlock_timeout = '60s';
CREATE FUNCTION regress_try(call text, OUT code text, OUT at_once boolean, OUT detail boolean, OUT said boolean)
LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz := clock_timestamp();
    d text;
    c text;
BEGIN
    EXECUTE call;
    code := 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, c = PG_EXCEPTION_CONTEXT;
    code := SQLSTATE;
    at_once := clock_timestamp() - since < interval '2 s';
    detail := d <> '';
    said := c LIKE '%autonomous transaction%';
END
$$;
-- a row of the caller's, updated, deleted or locked
BEGIN;
UPDATE regress_t SET x = 'caller' WHERE id = 1;
SELECT * FROM regress_try('SELECT autonomous_exec(''UPDATE regress_t SET x = $1 WHERE id = 1'', ''worker''::text)');
SELECT * FROM regress_try('SELECT autonomous_exec(''INSERT INTO regress_t VALUES (9); DELETE FROM regress_t WHERE id = 1'')');
SELECT * FROM regress_try('SELECT * FROM autonomous_query(''SELECT id FROM regress_t FOR UPDATE'') AS (id int)');
SELECT * FROM regress_try('SELECT * FROM autonomous_json(''SELECT id FROM regress_t WHERE id = 1 FOR SHARE'')');
SELECT * FROM regress_try('SELECT * FROM autonomous_query_as(1, ''DELETE FROM regress_t RETURNING id'')');
-- another row is no matter, nor is one skipped
SELECT * FROM regress_try('SELECT autonomous_exec(''UPDATE regress_t SET x = ''''worker'''' WHERE id = 2'')');
SELECT autonomous_exec('SELECT * FROM regress_t FOR UPDATE SKIP LOCKED') AS not_skipped;
SELECT * FROM regress_try('SELECT autonomous_exec(''SELECT * FROM regress_t FOR UPDATE NOWAIT'')');
COMMIT;
SELECT * FROM regress_t ORDER BY id;
-- a key that the caller inserted, and a row it refers to
BEGIN;
INSERT INTO regress_t VALUES (3, 'caller');
SELECT * FROM regress_try('SELECT autonomous_exec(''INSERT INTO regress_t VALUES (3)'')');
SELECT * FROM regress_try('SELECT autonomous_exec(''INSERT INTO regress_t VALUES (3) ON CONFLICT DO NOTHING'')');
DELETE FROM regress_t WHERE id = 2;
SELECT * FROM regress_try('SELECT autonomous_exec(''INSERT INTO regress_u VALUES (2)'')');
ROLLBACK;
-- a table, locked or made by the caller; a lock of the caller's to the end and of its session
BEGIN;
LOCK TABLE regress_t IN SHARE ROW EXCLUSIVE MODE;
SELECT * FROM regress_try('SELECT autonomous_exec(''INSERT INTO regress_t VALUES (4)'')');
SELECT * FROM regress_try('SELECT autonomous_exec(''SELECT * FROM regress_t'')');
ALTER TABLE regress_u ADD y int;
SELECT * FROM regress_try('SELECT autonomous_exec(''SELECT * FROM regress_u'')');
SELECT * FROM regress_try('SELECT autonomous_exec(''VACUUM FULL regress_t'')');
CREATE TABLE regress_new ();
SELECT * FROM regress_try('SELECT autonomous_exec(''CREATE TABLE regress_new ()'')');
SELECT pg_advisory_xact_lock(4343);
SELECT * FROM regress_try('SELECT autonomous_exec(''SELECT pg_advisory_xact_lock(4343)'')');
COMMIT;
SELECT pg_advisory_lock(4343);
SELECT * FROM regress_try('SELECT autonomous_exec(''SELECT pg_advisory_lock(4343)'')');
SELECT pg_advisory_unlock(4343);
-- a lock that the caller holds for a cursor, and one of a CREATE INDEX CONCURRENTLY
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM regress_t FOR UPDATE;
FETCH 1 FROM c;
SELECT * FROM regress_try('SELECT autonomous_exec(''UPDATE regress_t SET x = x'')');
COMMIT;
BEGIN;
INSERT INTO regress_t VALUES (6, 'caller');
SELECT * FROM regress_try('SELECT autonomous_exec(''CREATE INDEX CONCURRENTLY regress_i ON regress_t (x)'')');
COMMIT;
SELECT to_regclass('regress_i') IS NULL AS no_half_made_index;
-- a nested worker that waits for its own caller, the worker above
SELECT * FROM regress_try('SELECT autonomous_exec(''UPDATE regress_t SET x = 1 WHERE id = 1; SELECT autonomous_exec(''''DELETE FROM regress_t WHERE id = 1'''')'')');
-- uncaught, it ends the caller's statement, and its transaction if there is one
BEGIN;
UPDATE regress_t SET x = 'lost' WHERE id = 1;
SELECT autonomous_exec('DELETE FROM regress_t WHERE id = 1');
SELECT 1;
ROLLBACK;
SELECT * FROM regress_t ORDER BY id;
SELECT * FROM regress_u;
-- the caller's own earlier subtransaction, released and rolled back
BEGIN;
SAVEPOINT s;
UPDATE regress_t SET x = 'sub' WHERE id = 1;
SELECT * FROM regress_try('SELECT autonomous_exec(''UPDATE regress_t SET x = x WHERE id = 1'')');
ROLLBACK TO s;
SELECT * FROM regress_try('SELECT autonomous_exec(''UPDATE regress_t SET x = x WHERE id = 1'')');
COMMIT;

RESET deadlock_timeout;
SELECT autonomous_exec('SELECT 1') AS goes_on;
DROP TABLE regress_u, regress_t, regress_new;
DROP FUNCTION regress_try(text);
