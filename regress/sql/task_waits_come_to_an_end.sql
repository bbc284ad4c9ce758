-- Claim: who waits for a task that waits for it does not wait for ever: the
-- task fails with 40P01 and the chain in its DETAIL, and the waiter goes on.
\set SHOW_CONTEXT never
CREATE TABLE regress_locked (x int);
CREATE FUNCTION regress_chain(task bigint) RETURNS TABLE (state text, sqlstate text, chain text) LANGUAGE plpgsql AS $f$
DECLARE
    detail text;
BEGIN
    BEGIN
        PERFORM * FROM async_result(task) AS (x text);
    EXCEPTION WHEN deadlock_detected THEN
        GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    END;
    SELECT t.state, t.sqlstate INTO state, sqlstate FROM aside.tasks t WHERE t.id = task;
    chain := regexp_replace(detail, '\d+', 'N', 'g');
    RETURN NEXT;
END $f$;
-- directly
BEGIN;
LOCK TABLE regress_locked;
SELECT async_exec('INSERT INTO regress_locked VALUES (1)') AS t \gset
SELECT clock_timestamp() AS start \gset
SELECT async_wait(:t);
SELECT clock_timestamp() - :'start' < '2 s' AS soon;
SELECT * FROM regress_chain(:t);
SELECT 'goes on';
COMMIT;
-- in async_result
BEGIN;
LOCK TABLE regress_locked;
SELECT async_exec('INSERT INTO regress_locked VALUES (2)') AS t \gset
SAVEPOINT s;
\set VERBOSITY sqlstate
SELECT * FROM async_result(:t) AS (x text);
\set VERBOSITY default
ROLLBACK TO s;
SELECT state, sqlstate FROM aside.tasks WHERE id = :t;
COMMIT;
-- two such
BEGIN;
LOCK TABLE regress_locked;
SELECT async_exec('INSERT INTO regress_locked VALUES (3)') AS t \gset
SELECT async_exec('INSERT INTO regress_locked VALUES (4)') AS u \gset
SELECT async_wait(:t), async_wait(:u);
SELECT state, sqlstate FROM aside.tasks WHERE id IN (:t, :u) ORDER BY id;
COMMIT;
-- any of two: one that does not wait for us ends the wait
BEGIN;
LOCK TABLE regress_locked;
SELECT async_exec('INSERT INTO regress_locked VALUES (5)') AS t \gset
SELECT async_exec('SELECT 1 FROM pg_sleep(0.05)') AS u \gset
SELECT async_wait_any(ARRAY[:t, :u]) IN (:t, :u) AS one_of_them;
COMMIT;
SELECT async_wait(:u), async_wait(:t);
-- a wait with a timeout too
BEGIN;
LOCK TABLE regress_locked;
SELECT async_exec('INSERT INTO regress_locked VALUES (6)') AS t \gset
SELECT async_wait(:t, '10 s');
SELECT * FROM regress_chain(:t);
COMMIT;
-- a row, an advisory lock, a unique key
INSERT INTO regress_locked VALUES (7);
CREATE UNIQUE INDEX ON regress_locked (x) WHERE x > 100;
BEGIN;
UPDATE regress_locked SET x = x WHERE x = 7;
SELECT async_exec('UPDATE regress_locked SET x = 8 WHERE x = 7') AS t \gset
SELECT state, sqlstate FROM regress_chain(:t);
SELECT pg_advisory_xact_lock(4711);
SELECT async_exec('SELECT pg_advisory_xact_lock(4711)') AS t \gset
SELECT state, sqlstate FROM regress_chain(:t);
INSERT INTO regress_locked VALUES (101);
SELECT async_exec('INSERT INTO regress_locked VALUES (101)') AS t \gset
SELECT state, sqlstate FROM regress_chain(:t);
COMMIT;
-- through another task, which waits for one that waits for us
SET deadlock_timeout = '100ms';
BEGIN;
LOCK TABLE regress_locked;
SELECT async_exec($$SELECT x FROM async_result(async_exec('INSERT INTO regress_locked VALUES (9)')) AS (x text)$$) AS t \gset
SELECT clock_timestamp() AS start \gset
SELECT async_wait(:t, '20 s');
SELECT clock_timestamp() - :'start' < '5 s' AS soon;
SELECT state, sqlstate FROM aside.tasks WHERE id = :t;
COMMIT;
-- through a call within it
BEGIN;
LOCK TABLE regress_locked;
SELECT async_exec($$SELECT autonomous_exec('INSERT INTO regress_locked VALUES (10)')$$) AS t \gset
SELECT async_wait(:t, '20 s');
SELECT state, sqlstate FROM aside.tasks WHERE id = :t;
COMMIT;
RESET deadlock_timeout;
-- a task that waits for itself
SELECT async_exec('SELECT pg_sleep(0.1); SELECT async_wait(id) FROM aside.tasks WHERE pid = pg_backend_pid()') AS t \gset
SELECT async_wait(:t, '10 s');
SELECT state, sqlstate FROM aside.tasks WHERE id = :t;
-- a task's own tasks are not its session's: they are not kept waiting by its limit
SET aside.max_workers_per_session = 1;
SELECT async_exec($$SELECT async_wait(async_exec('SELECT 1'))$$) AS t \gset
SELECT async_wait(:t, '10 s');
RESET aside.max_workers_per_session;
-- who waits for an index to be built concurrently is what that waits for; to look now and then does no harm
SELECT async_exec('CREATE INDEX CONCURRENTLY regress_locked_x ON regress_locked (x)') AS t \gset
SELECT async_wait(:t, '20 s') AS an_end;
DROP INDEX regress_locked_x;
SELECT async_exec('CREATE INDEX CONCURRENTLY regress_locked_x ON regress_locked (x)') AS t \gset
SELECT set_config('regress.t', :'t', false) IS NOT NULL AS set;
DO $$ BEGIN WHILE EXISTS (SELECT FROM aside.tasks WHERE id = current_setting('regress.t')::bigint AND state = 'running') LOOP COMMIT; END LOOP; END $$;
SELECT state, sqlstate, indisvalid FROM aside.tasks, pg_index WHERE id = :t AND indexrelid = 'regress_locked_x'::regclass;
-- nobody waits: it is no deadlock, and the task goes on when it can
BEGIN;
LOCK TABLE regress_locked;
SELECT async_exec('INSERT INTO regress_locked VALUES (11)') AS t \gset
SELECT pg_sleep(0.3);
SELECT state FROM aside.tasks WHERE id = :t;
COMMIT;
SELECT async_wait(:t);
SELECT x FROM regress_locked ORDER BY x;
DROP TABLE regress_locked;
DROP FUNCTION regress_chain;
