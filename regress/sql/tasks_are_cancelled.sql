-- Claim: a cancelled task does not commit, whether it waits, runs or will not
-- hear of it; and one that has ended is as it is.
\set SHOW_CONTEXT never
CREATE TABLE regress_tasks (x int);
-- one worker for this session's tasks: what follows it is queued
SET aside.max_workers_per_session = 1;
SELECT async_exec('SELECT pg_sleep(60)') AS busy \gset
SELECT async_exec('INSERT INTO regress_tasks VALUES (1)') AS queued \gset
SELECT async_wait(:queued, '100 ms');
SELECT state, started, finished, pid FROM aside.tasks WHERE id = :queued;
SELECT async_cancel(:queued);
SELECT async_wait(:queued);
SELECT state, sqlstate, message, started, finished IS NOT NULL AS ended, rows FROM aside.tasks WHERE id = :queued;
SELECT * FROM async_result(:queued) AS (x int);
SELECT async_exec('SELECT length($1)', repeat('x', 1000000)) AS long \gset
SELECT async_cancel(:long);
SELECT * FROM async_result(:long) AS (x int);
SELECT async_detach(:long);
SELECT count(*) FROM pg_ls_tmpdir() WHERE name = 'pgsql_tmp_aside.' || :'long';
SELECT async_cancel(:queued) AS again, async_cancel(:queued, '1 s') AS with_grace;
-- while it runs
SELECT async_cancel(:busy);
SELECT async_wait(:busy);
SELECT state, sqlstate, message FROM aside.tasks WHERE id = :busy;
SELECT * FROM async_result(:busy) AS (x int);
SELECT async_cancel(:busy) AS again;
-- the next one comes to its turn, in order
SELECT array_agg(async_exec('INSERT INTO regress_tasks VALUES ($1)', g) ORDER BY g) AS ts FROM generate_series(10, 20) g \gset
SELECT bool_and(async_wait(t)) FROM unnest(:'ts'::bigint[]) t;
SELECT string_agg(x::text, ' ' ORDER BY ctid) FROM regress_tasks;
RESET aside.max_workers_per_session;
-- after its end
SELECT async_exec('INSERT INTO regress_tasks VALUES (2)') AS t \gset
SELECT async_wait(:t), async_cancel(:t), async_cancel(:t, '1 s');
SELECT state FROM aside.tasks WHERE id = :t;
SELECT count(*) FROM regress_tasks WHERE x = 2;

-- a body that traps the cancel does not commit either
CREATE FUNCTION regress_traps(x int, many boolean) RETURNS void LANGUAGE plpgsql AS $f$
BEGIN
    INSERT INTO regress_tasks VALUES (x);
    PERFORM async_progress(1);
    LOOP
        BEGIN
            PERFORM pg_sleep(60);
        EXCEPTION WHEN query_canceled THEN
            EXIT WHEN NOT many;
        END;
    END LOOP;
END $f$;
SELECT async_exec('SELECT regress_traps(100, false)') AS t \gset
CALL until($$EXISTS (SELECT FROM aside.tasks WHERE progress = 1 AND state = 'running')$$);
SELECT async_cancel(:t);
SELECT async_wait(:t, '10 s');
SELECT state, sqlstate FROM aside.tasks WHERE id = :t;
-- with a grace its worker is ended, and drops its temporary tables; without, it goes on
SELECT autonomous_exec('CREATE TEMP TABLE regress_was_here (x int)');
SELECT async_exec('SELECT regress_traps(101, true)') AS t \gset
CALL until($$EXISTS (SELECT FROM aside.tasks WHERE progress = 1 AND state = 'running')$$);
SELECT async_cancel(:t);
SELECT async_wait(:t, '300 ms');
SELECT async_cancel(:t, '200 ms');
SELECT async_wait(:t, '10 s');
SELECT state, sqlstate FROM aside.tasks WHERE id = :t;
SELECT count(*) FROM regress_tasks WHERE x >= 100;
-- a grace that is not needed is not waited for
SELECT async_exec('SELECT pg_sleep(60)') AS t \gset
SELECT clock_timestamp() AS start \gset
SELECT async_cancel(:t, '1 hour');
SELECT clock_timestamp() - :'start' < '2 s' AS soon;
-- workers are well afterwards
SELECT sum(x) FROM generate_series(1, 20) g, async_result(async_exec('SELECT $1', g)) AS (x int);

-- a timeout is a cancel that nobody has to ask for
SET aside.task_timeout = '100ms';
SELECT async_exec('INSERT INTO regress_tasks SELECT 200 FROM pg_sleep(60)') AS t \gset
SELECT async_exec('INSERT INTO regress_tasks SELECT 201') AS u \gset
RESET aside.task_timeout;
SELECT async_wait(:t, '10 s'), async_wait(:u);
SELECT state, sqlstate, message FROM aside.tasks WHERE id = :t;
SELECT * FROM async_result(:t) AS (x int);
SELECT x FROM regress_tasks WHERE x >= 200;
DROP TABLE regress_tasks;
DROP FUNCTION regress_traps;
