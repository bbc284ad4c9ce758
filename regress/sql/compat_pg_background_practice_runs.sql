-- Claim: the practice of pg_background runs as it is written, statement for
-- statement; but the worker that returns much waits for nobody to read it.
SET client_min_messages = warning; -- who has run it before has the role
CREATE EXTENSION aside_pg_background;
RESET client_min_messages;

SELECT pg_background_launch(
	$$ SELECT 2+2 FROM (SELECT pg_sleep(1)) AS s $$ -- the alias: PostgreSQL 15 wants one
) AS pid \gset
-- until it sleeps
CALL until($$EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE ' SELECT 2+2%')$$);
SELECT query, backend_type, wait_event_type, wait_event
FROM pg_stat_activity WHERE pid = :pid \gx
SELECT * FROM pg_background_result(:pid) AS (result integer);

SELECT pg_background_launch(
	$$ SELECT * FROM generate_series(1,1000000) $$ -- the practice has 1_000_000, which PostgreSQL 15 does not read
) AS pid \gset
-- Theirs waits here: IPC, MessageQueuePutMessage. Ours ends.
SELECT count(*) FILTER (WHERE wait_event = 'MessageQueuePutMessage') AS waits_for_a_reader
FROM pg_stat_activity WHERE pid = :pid;
SELECT async_wait(max(id), '1 min') AS ended FROM aside.tasks;
SELECT state, rows, command FROM aside.tasks ORDER BY id DESC LIMIT 1;
SELECT * FROM pg_background_detach(:pid);
SELECT coalesce(wait_event_type <> 'IPC', true) AS waits_for_nobody
FROM pg_stat_activity WHERE pid = :pid \gx
-- it is forgotten, and so are its rows
CALL until($$NOT EXISTS (SELECT FROM aside.tasks WHERE detached)$$);
SELECT count(*) FROM aside.tasks WHERE command LIKE '%generate_series%' AND submitter = pg_backend_pid();
\set VERBOSITY sqlstate
SELECT * FROM pg_background_detach(:pid);
\set VERBOSITY default

-- "planned to be the fourth function": the next command for a running process
SELECT pg_background_launch('SELECT pg_backend_pid()') AS pid \gset
SELECT x = :pid AS in_that_process FROM pg_background_result(:pid) AS (x int);
SELECT pg_background_run(:pid, 'SELECT pg_backend_pid()') = :pid AS same_process;
SELECT x = :pid AS in_that_process FROM pg_background_result(:pid) AS (x int);

DROP EXTENSION aside_pg_background;
