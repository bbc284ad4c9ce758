-- Claim: parallel_run starts a job at once, whatever the caller's transaction is, waits for its end, and says how it ended.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE TABLE run_rows (id int PRIMARY KEY, n int NOT NULL DEFAULT 0);
INSERT INTO run_rows SELECT g FROM generate_series(1, 1000) g;
ANALYZE run_rows;
SELECT parallel_run('all', 'UPDATE run_rows SET n = n + 1 WHERE id BETWEEN $1 AND $2', 'run_rows', chunk_rows => 100);
SELECT n, count(*) FROM run_rows GROUP BY n;
-- what it has done stays when the caller rolls back, and is seen by him as what others have done is
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM run_rows WHERE n = 1;
SELECT parallel_run('again', 'UPDATE run_rows SET n = n + 1 WHERE id BETWEEN $1 AND $2', 'run_rows');
SELECT count(*) FROM run_rows WHERE n = 1;
ROLLBACK;
SELECT n, count(*) FROM run_rows GROUP BY n;
SELECT name, state, percent FROM aside.parallel_jobs WHERE name IN ('all', 'again') ORDER BY id;
-- a name that is in use, a table that only the caller sees
SELECT parallel_run('all', 'UPDATE run_rows SET n = n + 1 WHERE id BETWEEN $1 AND $2', 'run_rows');
BEGIN;
CREATE TABLE unseen (id int PRIMARY KEY);
SELECT parallel_run('unseen', 'DELETE FROM unseen WHERE id BETWEEN $1 AND $2', 'unseen');
ROLLBACK;
CREATE TEMPORARY TABLE own (id int PRIMARY KEY);
SELECT parallel_run('own', 'DELETE FROM own WHERE id BETWEEN $1 AND $2', 'own');
-- rows that fail; a command that is wrong
SELECT parallel_run('partly', 'UPDATE run_rows SET n = 10 / (id - 77) WHERE id BETWEEN $1 AND $2', 'run_rows', max_attempts => 1);
SELECT low, high, sqlstate, message FROM aside.parallel_chunks WHERE job = 'partly' AND state = 'failed';
SELECT parallel_run('wrong', 'UPDATE run_rows SET nothing = 1 WHERE id BETWEEN $1 AND $2', 'run_rows');
-- a job that others cancel; a call that is cancelled
SELECT async_exec($$SELECT parallel_run('others', 'SELECT pg_sleep(60) FROM run_rows WHERE id BETWEEN $1 AND $2', 'run_rows')$$) AS task \gset
CALL until('EXISTS (SELECT FROM aside.parallel_jobs WHERE name = ''others'' AND chunks_running > 0)');
SELECT parallel_cancel('others');
SELECT async_wait(:task, '60 s');
SELECT * FROM async_result(:task) AS r (state text);
SET statement_timeout = '4 s';
SELECT parallel_run('timed out', 'SELECT pg_sleep(60) FROM run_rows WHERE id BETWEEN $1 AND $2', 'run_rows');
RESET statement_timeout;
SELECT state FROM aside.parallel_jobs WHERE name = 'timed out';
-- nothing is done
SELECT parallel_run('dry', 'DELETE FROM run_rows WHERE id BETWEEN $1 AND $2', 'run_rows', dry_run => true) IS NULL AS nothing;
SELECT count(*) FROM run_rows;
-- how far it is, said meanwhile
SET client_min_messages = notice;
SELECT schedule_set('run', 'at 2099-01-01', $$SELECT parallel_run('told', 'SELECT pg_sleep(1.2) WHERE $1 <= $2', 'run_rows', chunk_rows => 500, workers => 1)$$) > 0 AS set;
SELECT schedule_run_now('run') AS run \gset
SELECT schedule_wait(:run, '60 s');
SELECT state, messages::text ~ 'job "told": \d+ rows.*, \d+ rows/s' AS told, messages::text ~ 'job "told" is done: \d+ rows, \d+ rows/s' AS ended
    FROM aside.schedule_runs WHERE run = :run;
SELECT schedule_drop('run');
SELECT count(parallel_drop(name)) FROM unnest('{all,again,partly,wrong,others,timed out,told}'::text[]) name;
DROP TABLE run_rows;
