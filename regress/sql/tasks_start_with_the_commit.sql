-- Claim: a task of async_exec_on_commit starts if and only if what asked for
-- it commits; one of async_exec starts at once, whatever becomes of that.
CREATE TABLE regress_tasks (what text);
CREATE FUNCTION regress_ask(what text) RETURNS bigint LANGUAGE sql AS
    $$SELECT async_exec_on_commit('INSERT INTO regress_tasks VALUES ($1)', what)$$;
BEGIN;
SELECT regress_ask('committed') AS t \gset
SELECT state, started FROM aside.tasks WHERE id = :t;
SELECT async_wait(:t, '50 ms');
SELECT count(*) FROM regress_tasks;
COMMIT;
SELECT async_wait(:t);
SELECT * FROM regress_tasks;
-- it sees what the transaction has done
BEGIN;
INSERT INTO regress_tasks VALUES ('of the transaction');
SELECT async_exec_on_commit('SELECT what FROM regress_tasks ORDER BY what') AS t \gset
SELECT async_exec('SELECT what FROM regress_tasks ORDER BY what') AS at_once \gset
SELECT * FROM async_result(:at_once) AS (what text);
COMMIT;
SELECT * FROM async_result(:t) AS (what text);

BEGIN;
SELECT regress_ask('rolled back') AS t \gset
SELECT async_exec('INSERT INTO regress_tasks VALUES (''at once'')') AS at_once \gset
ROLLBACK;
\set VERBOSITY sqlstate
SELECT async_wait(:t);
\set VERBOSITY default
SELECT count(*) FROM aside.tasks WHERE id = :t;
SELECT async_wait(:at_once);
-- an error is a rollback
BEGIN;
SELECT regress_ask('failed') AS t \gset
SELECT 1/0;
COMMIT;
-- so is a failure of the commit
CREATE TABLE regress_once (x int UNIQUE DEFERRABLE INITIALLY DEFERRED);
BEGIN;
INSERT INTO regress_once VALUES (1), (1);
SELECT regress_ask('failed to commit') AS t \gset
COMMIT;
-- alone it is a transaction of its own
SELECT regress_ask('alone') AS t \gset
SELECT async_wait(:t);

-- to wait for one's own commit would be to wait for ever
\set VERBOSITY sqlstate
SELECT async_wait(regress_ask('not waited for'));
SELECT * FROM async_result(regress_ask('not read')) AS (x int);
BEGIN;
SELECT regress_ask('not waited for') AS t \gset
SELECT regress_ask('not waited for') AS u \gset
SELECT async_wait_any(ARRAY[:t, :u], '20 ms');
SELECT async_wait_any(ARRAY[:t, :u, async_exec('SELECT 1')]) NOT IN (:t, :u) AS another_one;
SELECT async_wait_any(ARRAY[:t, :u]);
ROLLBACK;
\set VERBOSITY default
-- subtransactions
BEGIN;
SELECT regress_ask('outer') AS t \gset
SAVEPOINT a;
SELECT regress_ask('of a, rolled back') IS NOT NULL AS asked;
SAVEPOINT b;
SELECT regress_ask('of b, released into a') IS NOT NULL AS asked;
RELEASE b;
ROLLBACK TO a;
SELECT regress_ask('of a, after') AS u \gset
SAVEPOINT c;
SELECT regress_ask('of c') AS v \gset
RELEASE c;
RELEASE a;
SELECT count(*) AS pending FROM aside.tasks WHERE state = 'pending';
COMMIT;
SELECT async_wait(:t), async_wait(:u), async_wait(:v);
DO $$
BEGIN
    PERFORM regress_ask('of the block');
    BEGIN
        PERFORM regress_ask('of an exception block that fails');
        PERFORM 1/0;
    EXCEPTION WHEN division_by_zero THEN
        PERFORM regress_ask('of its handler');
    END;
    COMMIT;
    PERFORM regress_ask('before a rollback');
    ROLLBACK;
    PERFORM regress_ask('last');
END $$;
CALL until($$NOT EXISTS (SELECT FROM aside.tasks WHERE state IN ('pending', 'queued', 'running'))$$);
SELECT what FROM regress_tasks ORDER BY what COLLATE "C";
-- cancelled, or detached, before the commit
BEGIN;
SELECT regress_ask('cancelled before') AS t \gset
SELECT regress_ask('detached before') AS u \gset
SELECT async_cancel(:t), async_detach(:u);
COMMIT;
SELECT state FROM aside.tasks WHERE id = :t;
CALL until($$NOT EXISTS (SELECT FROM aside.tasks WHERE state IN ('pending', 'queued', 'running'))$$);
SELECT what FROM regress_tasks WHERE what LIKE '%before';
-- a trigger asks for one for each row
CREATE FUNCTION regress_each() RETURNS trigger LANGUAGE plpgsql AS $f$
BEGIN
    PERFORM async_exec_on_commit('INSERT INTO regress_tasks VALUES ($1)', 'row ' || new.x);
    RETURN new;
END $f$;
CREATE TRIGGER regress_each AFTER INSERT ON regress_once FOR EACH ROW EXECUTE FUNCTION regress_each();
INSERT INTO regress_once SELECT g FROM generate_series(10, 12) g;
CALL until($$NOT EXISTS (SELECT FROM aside.tasks WHERE state IN ('pending', 'queued', 'running'))$$);
SELECT what FROM regress_tasks WHERE what LIKE 'row%' ORDER BY what;
-- a prepared transaction outlives who would start them
BEGIN;
SELECT regress_ask('prepared') AS t \gset
PREPARE TRANSACTION 'regress_tasks';
SELECT count(*) FROM aside.tasks WHERE id = :t;
SELECT count(*) FROM pg_prepared_xacts WHERE gid = 'regress_tasks';
BEGIN;
SELECT async_exec('INSERT INTO regress_tasks VALUES (''at once, of a prepared one'')') AS t \gset
PREPARE TRANSACTION 'regress_tasks';
ROLLBACK PREPARED 'regress_tasks';
SELECT async_wait(:t);
-- the task that asks for tasks
SELECT async_wait(async_exec('SELECT regress_ask(''of a task'')'));
SELECT async_wait(async_exec('SELECT regress_ask(''of a task that fails''); SELECT 1/0'));
CALL until($$NOT EXISTS (SELECT FROM aside.tasks WHERE state IN ('pending', 'queued', 'running'))$$);
SELECT what FROM regress_tasks WHERE what LIKE 'of a task%';
DROP TABLE regress_tasks, regress_once;
DROP FUNCTION regress_ask, regress_each;
