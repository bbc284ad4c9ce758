-- Claim: what happens to its table, its owner, its rows or its neighbours while it runs does not make a job do a row twice, lose one, or
-- hang; it says what is the matter, and goes on when that is mended.
\set SHOW_CONTEXT never
CREATE ROLE regress_days LOGIN;
GRANT aside_user TO regress_days;
GRANT CREATE ON SCHEMA public TO regress_days;
SET SESSION AUTHORIZATION regress_days;
CREATE TABLE day_rows (id int PRIMARY KEY, times int NOT NULL DEFAULT 0);
INSERT INTO day_rows SELECT g FROM generate_series(1, 1000) g;
CREATE TABLE day_gate (open boolean);
INSERT INTO day_gate VALUES (false);
CREATE FUNCTION waits() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    WHILE NOT (SELECT open FROM day_gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
    RETURN true;
END $$;
\set gated '''UPDATE day_rows SET times = times + 1 WHERE id BETWEEN $1 AND $2 AND (SELECT waits())'''
CREATE PROCEDURE ended(wanted text) LANGUAGE plpgsql AS $$
DECLARE
    its record;
BEGIN
    COMMIT;
    PERFORM parallel_wait(wanted, '60 s');
    SELECT state, sqlstate INTO its FROM aside.parallel_jobs WHERE name = wanted;
    RAISE INFO '%', concat_ws(', ', wanted, its.state, its.sqlstate);
END $$;
CREATE PROCEDURE started(name text, command text, n int DEFAULT 2) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE day_gate SET open = false;
    PERFORM parallel_start(name, command, 'day_rows', chunk_rows => 10);
    COMMIT;
    CALL until(format('(SELECT chunks_running = %s FROM aside.parallel_jobs WHERE name = %L)', n, name));
END $$;
CREATE PROCEDURE opens() LANGUAGE plpgsql AS $$ BEGIN UPDATE day_gate SET open = true; COMMIT; END $$;

-- two jobs on one table
SELECT count(parallel_start(n, 'UPDATE day_rows SET times = times + 1 WHERE id BETWEEN $1 AND $2', 'day_rows', chunk_rows => 20)) FROM unnest('{a,b}'::text[]) n;
CALL ended('a');
CALL ended('b');
SELECT times, count(*) FROM day_rows GROUP BY 1;

-- chunks that deadlock are tried again, as often as it takes, and that is no failure
CREATE TABLE day_order (id int PRIMARY KEY, n int NOT NULL DEFAULT 0);
INSERT INTO day_order VALUES (1), (2);
-- The first attempts at the two chunks wait for each other before each asks for what the other has.
CREATE SEQUENCE day_attempts;
CREATE FUNCTION crosses(low int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    attempt bigint := nextval('day_attempts');
BEGIN
    PERFORM pg_advisory_xact_lock(9013, low);
    WHILE attempt <= 2 AND (SELECT count(*) < 2 FROM pg_locks WHERE locktype = 'advisory' AND classid = 9013 AND granted) LOOP PERFORM pg_sleep(0.01); END LOOP;
    PERFORM pg_advisory_xact_lock(9013, 3 - low);
    UPDATE day_order SET n = n + 1 WHERE id = low;
END $$;
SELECT parallel_start('crossing', 'SELECT crosses($1), $2', 'day_order', chunk_rows => 1, max_attempts => 1) > 0;
CALL ended('crossing');
SELECT id, n FROM day_order ORDER BY id;
SELECT low, state, sqlstate FROM aside.parallel_chunks WHERE job = 'crossing' ORDER BY number;
SELECT sum(attempt) > 2 AS again FROM aside.parallel_chunks WHERE job = 'crossing';
CALL until('(SELECT deadlocks > 0 FROM pg_stat_database WHERE datname = current_database())');

-- a statement that takes too long is a failure, and its chunk is divided until it does not
CREATE FUNCTION takes(low int, high int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep((high - low) / 40.0);
    UPDATE day_order SET n = 0 WHERE id BETWEEN low AND high;
    RETURN high - low;
END $$;
INSERT INTO day_order SELECT g FROM generate_series(3, 64) g;
SELECT parallel_start('slow', 'SET LOCAL statement_timeout = ''500ms''; SELECT takes($1, $2)', 'day_order', chunk_rows => 64, max_attempts => 1) > 0;
CALL ended('slow');
SELECT count(*) FROM day_order WHERE n = 0;
SELECT count(*) FILTER (WHERE sqlstate = '57014' AND state = 'split') > 0 AS divided, bool_and(state IN ('done', 'split')) FROM aside.parallel_chunks WHERE job = 'slow';

-- what happens to its table while it is half-way
CREATE PROCEDURE half_way(wanted text, mishap text) LANGUAGE plpgsql AS $$
BEGIN
    CALL started(wanted, 'UPDATE day_rows SET times = times + 1 WHERE id BETWEEN $1 AND $2 AND (SELECT waits())');
    PERFORM parallel_pause(wanted);
    COMMIT;
    CALL opens();
    CALL until(format('(SELECT chunks_running = 0 FROM aside.parallel_jobs WHERE name = %L)', wanted));
    EXECUTE mishap;
    PERFORM parallel_resume(wanted);
    CALL ended(wanted);
END $$;
-- renamed, and back
CALL half_way('renamed', 'ALTER TABLE day_rows RENAME TO day_other');
ALTER TABLE day_other RENAME TO day_rows;
SELECT parallel_retry('renamed') >= 0;
CALL ended('renamed');
SELECT times, count(*) FROM day_rows GROUP BY 1;
-- its key becomes another type
CALL half_way('altered', 'ALTER TABLE day_rows ALTER COLUMN id TYPE bigint');
SELECT times, count(*) FROM day_rows GROUP BY 1;
-- truncated: the rest has nothing to do
CALL half_way('truncated', 'TRUNCATE day_rows');
INSERT INTO day_rows SELECT g FROM generate_series(1, 1000) g;
CALL half_way('dropped', 'DROP TABLE day_rows');
CREATE TABLE day_rows (id int PRIMARY KEY, times int NOT NULL DEFAULT 0);
INSERT INTO day_rows SELECT g FROM generate_series(1, 1000) g;

-- dropped while it runs: what runs does not commit
CALL started('job dropped', :gated);
SELECT parallel_drop('job dropped');
CALL until('NOT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE ''UPDATE day_rows%'' AND state = ''active'' AND backend_type = ''pg_aside worker'')');
CALL opens();
SELECT sum(times) FROM day_rows;
-- who waits is told
CALL started('job dropped', :gated);
SELECT async_exec('SELECT pg_sleep(0.2); SELECT parallel_drop(''job dropped'')') > 0;
SELECT parallel_wait('job dropped', '60 s');
CALL opens();

-- its owner loses a privilege for a while
CREATE TABLE day_others (id int PRIMARY KEY, times int NOT NULL DEFAULT 0);
INSERT INTO day_others SELECT g FROM generate_series(1, 100) g;
CALL started('deprived', 'UPDATE day_others SET times = times + 1 WHERE id BETWEEN $1 AND $2 AND (SELECT waits())');
REVOKE UPDATE ON day_others FROM regress_days;
CALL opens();
CALL ended('deprived');
GRANT UPDATE ON day_others TO regress_days;
SELECT parallel_retry('deprived') > 0 AS again;
CALL ended('deprived');
SELECT times, count(*) FROM day_others GROUP BY 1;

-- its owner may not act for a while
CALL started('barred', :gated);
RESET SESSION AUTHORIZATION;
REVOKE aside_user FROM regress_days;
UPDATE day_gate SET open = true;
CALL until('(SELECT chunks_running = 0 FROM aside.parallel_jobs WHERE name = ''barred'')');
SELECT state, reason FROM aside.parallel_jobs WHERE name = 'barred';
GRANT aside_user TO regress_days;
SET SESSION AUTHORIZATION regress_days;
CALL ended('barred');
SELECT times, count(*) FROM day_rows GROUP BY 1;

-- a role that sets what it sets
RESET SESSION AUTHORIZATION;
ALTER ROLE regress_days SET default_transaction_isolation = 'serializable';
ALTER ROLE regress_days SET DateStyle = 'SQL, DMY';
SET SESSION AUTHORIZATION regress_days;
CREATE TABLE day_times (at timestamptz PRIMARY KEY, times int NOT NULL DEFAULT 0);
INSERT INTO day_times SELECT timestamptz '2026-10-25 00:00+02' + g * interval '7 minutes 0.000001 s' FROM generate_series(1, 500) g;
SELECT parallel_start('serializable', 'UPDATE day_times SET times = times + 1 WHERE at BETWEEN $1 AND $2', 'day_times', chunk_rows => 50) > 0;
CALL ended('serializable');
SELECT times, count(*) FROM day_times GROUP BY 1;
RESET SESSION AUTHORIZATION;
ALTER ROLE regress_days RESET ALL;
SET SESSION AUTHORIZATION regress_days;

-- paused and resumed again and again
CREATE PROCEDURE toggles(wanted text) LANGUAGE plpgsql AS $$
BEGIN
    WHILE (SELECT state IN ('running', 'paused') FROM aside.parallel_jobs WHERE name = wanted) LOOP
        PERFORM parallel_pause(wanted);
        COMMIT;
        PERFORM parallel_resume(wanted);
        COMMIT;
        PERFORM pg_sleep(0.005);
    END LOOP;
END $$;
UPDATE day_rows SET times = 0;
SELECT parallel_start('toggled', 'UPDATE day_rows SET times = times + 1 WHERE id BETWEEN $1 AND $2', 'day_rows', chunk_rows => 20) > 0;
CALL toggles('toggled');
CALL ended('toggled');
SELECT times, count(*) FROM day_rows GROUP BY 1;

-- a command of a megabyte
SELECT parallel_start('long', 'UPDATE day_rows SET times = 5 WHERE id BETWEEN $1 AND $2 -- ' || repeat('x', 1000000), 'day_rows') > 0;
CALL ended('long');
SELECT count(*) FROM day_rows WHERE times = 5;

-- a thousand jobs
SELECT count(parallel_start('many ' || g, 'UPDATE day_rows SET times = times + 1 WHERE id BETWEEN $1 AND $2', chunk_by => 'query',
    chunk_query => format('SELECT %s, %1$s', g))) FROM generate_series(1, 1000) g;
CALL until('(SELECT count(*) = 1000 FROM aside.parallel_jobs WHERE name LIKE ''many%'' AND state = ''done'')', '120 s');
SELECT times, count(*) FROM day_rows GROUP BY 1;
SELECT count(parallel_drop(name)) FROM aside.parallel_jobs WHERE name LIKE 'many%';

-- a command that meets a condition may cancel or pause its own job, and its chunk is done; one that drops it is refused
CREATE FUNCTION stops(how text, low int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        IF low = 21 THEN EXECUTE format('SELECT parallel_%s(%L)', how, 'self ' || how); END IF;
    EXCEPTION WHEN division_by_zero THEN
        NULL;
    END;
END $$;
SELECT count(parallel_start('self ' || how, format('UPDATE day_rows SET times = times + 1 WHERE id BETWEEN $1 AND $2; SELECT stops(%L, $1)', how), 'day_rows',
    chunk_rows => 10, workers => 1)) FROM unnest('{cancel,drop,pause}'::text[]) how;
CALL ended('self cancel');
CALL ended('self drop');
CALL until('(SELECT state = ''paused'' AND chunks_running = 0 FROM aside.parallel_jobs WHERE name = ''self pause'')');
SELECT name, state, CASE WHEN state <> 'failed' THEN chunks_done END AS chunks_done, sqlstate, message, hint FROM aside.parallel_jobs WHERE name LIKE 'self%' ORDER BY name;
SELECT parallel_drop(name) FROM aside.parallel_jobs WHERE name LIKE 'self%';

-- follow: what comes above the last key while it runs belongs to it; else it does not
CREATE TABLE day_grows (id int PRIMARY KEY, times int NOT NULL DEFAULT 0);
INSERT INTO day_grows SELECT g FROM generate_series(1, 100) g;
UPDATE day_gate SET open = false;
SELECT count(parallel_start(concat('grows ', f), 'UPDATE day_grows SET times = times + 1 WHERE id BETWEEN $1 AND $2 AND (SELECT waits())', 'day_grows',
    chunk_rows => 50, follow => f)) FROM unnest('{t,f}'::bool[]) f;
CALL until('(SELECT sum(chunks_running) >= 2 FROM aside.parallel_jobs WHERE name LIKE ''grows%'')');
INSERT INTO day_grows SELECT g FROM generate_series(101, 200) g;
CALL opens();
CALL ended('grows t');
CALL ended('grows f');
SELECT id <= 100 AS before, times, count(*) FROM day_grows GROUP BY 1, 2 ORDER BY 1, 2;

RESET SESSION AUTHORIZATION;
DROP OWNED BY regress_days CASCADE;
CALL until('(SELECT count(*) = 0 FROM aside.parallel_chunk)');
DROP ROLE regress_days;
