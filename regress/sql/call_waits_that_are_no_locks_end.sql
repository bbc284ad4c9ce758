-- Claim: a worker that waits for its caller without any lock raises 40P01 as one
-- that waits for a lock does: for the pin of a buffer, for a safe snapshot, for
-- a parallel worker of its own. What would wait uninterruptibly is refused.
\set SHOW_CONTEXT never
\set VERBOSITY terse
SET deadlock_timeout = '100ms';
CREATE TABLE regress_pin (id int, x text);
CREATE FUNCTION regress_try(call text, OUT code text, OUT at_once boolean, OUT said text) LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz := clock_timestamp();
BEGIN
    EXECUTE call;
    code := 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS said = PG_EXCEPTION_DETAIL;
    code := SQLSTATE;
    at_once := clock_timestamp() - since < interval '10 s';
    said := regexp_replace(split_part(said, E'\n', 1), '\d+', 'N', 'g');
END
$$;
-- what a vacuum that freezes has to look at: rows of another transaction, not frozen yet
CREATE PROCEDURE regress_fill() LANGUAGE plpgsql AS $$
BEGIN
    TRUNCATE regress_pin;
    INSERT INTO regress_pin SELECT g, 'x' FROM generate_series(1, 100) g;
END $$;

-- a loop over the table
CALL regress_fill();
CREATE FUNCTION regress_loop(command text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT * FROM regress_pin LOOP
        PERFORM autonomous_exec(command);
    END LOOP;
END $$;
SELECT * FROM regress_try($$SELECT regress_loop('VACUUM (FREEZE) regress_pin')$$);
-- the same through a task that is waited for
CREATE FUNCTION regress_loop_tasks() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT * FROM regress_pin LOOP
        PERFORM FROM async_result(async_exec('VACUUM (FREEZE) regress_pin')) AS (x int);
    END LOOP;
END $$;
SELECT * FROM regress_try('SELECT regress_loop_tasks()');
-- a cursor, through each kind of call, and through a call of a call
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM regress_pin;
FETCH 1 FROM c;
SELECT * FROM regress_try($$SELECT autonomous_exec('VACUUM (FREEZE) regress_pin')$$);
SELECT * FROM regress_try($$SELECT * FROM autonomous_json('VACUUM (FREEZE) regress_pin')$$);
SELECT * FROM regress_try($$SELECT autonomous_exec($x$SELECT autonomous_exec('VACUUM (FREEZE) regress_pin')$x$)$$);
SELECT autonomous_session_open('s');
SELECT * FROM regress_try($$SELECT autonomous_session_exec('s', 'VACUUM (FREEZE) regress_pin')$$);
SELECT autonomous_session_close('s');
-- it lets go of it
CLOSE c;
SELECT autonomous_exec('VACUUM (FREEZE) regress_pin') >= 0 AS done;
COMMIT;
-- a cursor of an idle session of the caller's, and one whose rows wait to be read
CALL regress_fill();
SELECT autonomous_session_open('s');
SELECT autonomous_session_exec('s', 'BEGIN; DECLARE c CURSOR FOR SELECT * FROM regress_pin; FETCH 1 FROM c');
SELECT * FROM regress_try($$SELECT autonomous_exec('VACUUM (FREEZE) regress_pin')$$);
SELECT autonomous_session_exec('s', 'ROLLBACK');
SELECT autonomous_session_send('s', 'SELECT id, repeat(x, 100000) FROM regress_pin');
CALL until($$NOT autonomous_session_is_busy('s')$$);
SELECT * FROM regress_try($$SELECT autonomous_exec('VACUUM (FREEZE) regress_pin')$$);
SELECT autonomous_session_close('s');
SELECT autonomous_exec('VACUUM (FREEZE) regress_pin') >= 0 AS done;

-- a safe snapshot, for which the caller's own serializable transaction would have to end
BEGIN ISOLATION LEVEL SERIALIZABLE;
INSERT INTO regress_pin VALUES (0);
SET LOCAL default_transaction_isolation = 'serializable';
SET LOCAL default_transaction_read_only = on;
SET LOCAL default_transaction_deferrable = on;
SELECT * FROM regress_try($$SELECT autonomous_exec('SELECT 1')$$);
SELECT * FROM regress_try($$SELECT * FROM autonomous_query('SELECT count(*) FROM regress_pin') AS (n bigint)$$);
-- where it may write it need not wait
SET LOCAL default_transaction_read_only = off;
SELECT autonomous_exec('SELECT 1');
ROLLBACK;

-- a parallel worker of its own, which waits for a lock of the caller's
CREATE TABLE regress_locked (x int);
CREATE FUNCTION regress_reads(id int) RETURNS boolean LANGUAGE plpgsql PARALLEL SAFE AS $$
BEGIN
    PERFORM count(*) FROM regress_locked;
    RETURN true;
END $$;
BEGIN;
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL parallel_leader_participation = off;
LOCK TABLE regress_locked;
SELECT * FROM regress_try($$SELECT autonomous_exec('SELECT count(*) FROM regress_pin WHERE regress_reads(id)')$$);
ROLLBACK;

-- the midst of an index: what the server locks there is not waited for interruptibly
CREATE FUNCTION regress_compare(a int, b int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    PERFORM autonomous_exec('SELECT 1');
    RETURN CASE WHEN a < b THEN -1 WHEN a > b THEN 1 ELSE 0 END;
END $$;
CREATE OPERATOR CLASS regress_ops FOR TYPE int USING btree AS
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 regress_compare(int, int);
CREATE TABLE regress_index (x int);
CREATE INDEX ON regress_index (x regress_ops);
INSERT INTO regress_index VALUES (1);
SELECT * FROM regress_try('INSERT INTO regress_index VALUES (2)');

DROP TABLE regress_pin, regress_locked, regress_index;
DROP OPERATOR FAMILY regress_ops USING btree;
DROP FUNCTION regress_try, regress_loop, regress_loop_tasks, regress_reads, regress_compare;
DROP PROCEDURE regress_fill;
