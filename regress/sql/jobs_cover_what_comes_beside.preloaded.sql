-- Claim: rows that are written while a job runs are covered as docs/parallel.md says; the bounds of its chunks are read from the index, and never the
-- table as a whole.
\set SHOW_CONTEXT never
CREATE ROLE regress_beside LOGIN;
GRANT aside_user TO regress_beside;
GRANT CREATE ON SCHEMA public TO regress_beside;
SET SESSION AUTHORIZATION regress_beside;
CREATE TABLE beside (id int PRIMARY KEY, what text NOT NULL DEFAULT 'old', times int NOT NULL DEFAULT 0, seen int NOT NULL DEFAULT 0);
INSERT INTO beside SELECT g * 10 FROM generate_series(1, 100) g;
CREATE TABLE beside_gate (open boolean);
INSERT INTO beside_gate VALUES (false);
CREATE FUNCTION waits() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    WHILE NOT (SELECT open FROM beside_gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
    RETURN true;
END $$;
-- The first chunk runs, the second one waits, and nothing else is cut.
SELECT parallel_start('stops', 'UPDATE beside SET times = times + 1 WHERE id BETWEEN $1 AND $2 AND (SELECT waits())', 'beside', chunk_rows => 10, workers => 1) > 0;
CALL until('(SELECT chunks_running = 1 AND chunks_waiting = 1 FROM aside.parallel_jobs WHERE name = ''stops'')');
SELECT low, high, state FROM aside.parallel_chunks WHERE job = 'stops' ORDER BY number;
INSERT INTO beside VALUES (55, 'in a chunk that runs'), (105, 'between two chunks'), (155, 'in a chunk that waits'), (555, 'not cut yet'), (1001, 'above the last key');
UPDATE beside SET what = 'moved up', id = 556 WHERE id = 20;
UPDATE beside SET what = 'moved up, into a chunk that waits', id = 156 WHERE id = 30;
UPDATE beside SET what = 'moved away, above the last key', id = 1002 WHERE id = 40;
UPDATE beside SET what = 'moved down, into a chunk that runs', id = 56 WHERE id = 500;
DELETE FROM beside WHERE id = 600;
-- A writer is at a row of a chunk, and changes another column; the chunk waits for him, and loses nothing of his.
SELECT autonomous_session_open('writer');
SELECT autonomous_session_exec('writer', 'BEGIN');
SELECT autonomous_session_exec('writer', 'UPDATE beside SET seen = seen + 1, what = ''written beside'' WHERE id = 700');
UPDATE beside_gate SET open = true;
CALL until('EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = ''pg_aside worker'' AND wait_event_type = ''Lock'' AND query LIKE ''UPDATE beside%'')');
SELECT autonomous_session_exec('writer', 'COMMIT');
SELECT autonomous_session_close('writer');
SELECT parallel_wait('stops', '60 s');
SELECT state, chunks_failed FROM aside.parallel_jobs WHERE name = 'stops';
SELECT what, times, sum(seen) AS seen, count(*) FROM beside GROUP BY 1, 2 ORDER BY 2, 1;

-- What a command does to other rows than those of its bounds is done as often as it says.
CREATE TABLE beside_other (id int PRIMARY KEY, times int NOT NULL DEFAULT 0);
INSERT INTO beside_other SELECT g FROM generate_series(1, 100) g;
SET client_min_messages = warning;
SELECT parallel_run('others', 'UPDATE beside_other SET times = times + 1 WHERE id BETWEEN $1 AND $2 + 5', 'beside_other', chunk_rows => 25, workers => 1);
RESET client_min_messages;
SELECT times, count(*) FROM beside_other GROUP BY 1 ORDER BY 1;

-- Of a large table no more is read than of a small one, before the first chunks begin. A policy counts the rows that are read.
CREATE TABLE beside_large (id bigint PRIMARY KEY, k int);
INSERT INTO beside_large SELECT g, g % 1000 FROM generate_series(1, 200000) g;
CREATE INDEX ON beside_large (k);
ANALYZE beside_large;
CREATE SEQUENCE beside_reads;
ALTER TABLE beside_large ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY counts ON beside_large USING (nextval('beside_reads') > 0);
UPDATE beside_gate SET open = false;
SELECT count(parallel_start(c, 'SELECT waits(), $1, $2', 'beside_large', chunk_column => c)) FROM unnest('{id,k}'::name[]) c;
CALL until('(SELECT bool_and(chunks_running = 2) FROM aside.parallel_jobs WHERE name IN (''id'', ''k''))');
SELECT last_value BETWEEN 8000 AND 40000 AS few FROM beside_reads;
SELECT count(parallel_cancel(name)) FROM aside.parallel_jobs WHERE name IN ('id', 'k');

RESET SESSION AUTHORIZATION;
DROP OWNED BY regress_beside CASCADE;
CALL until('(SELECT count(*) = 0 FROM aside.parallel_chunk)');
DROP ROLE regress_beside;
