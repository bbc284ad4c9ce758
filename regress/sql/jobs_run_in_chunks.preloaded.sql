-- Claim: a job does each row of its table exactly once, chunk by chunk, as its owner; what fails is tried again, then divided down to
-- the rows that fail, which are said; the rest is done.
\set SHOW_CONTEXT never
SET timezone = 'UTC';
CREATE ROLE regress_jobs LOGIN;
ALTER ROLE regress_jobs SET work_mem = '7MB';
GRANT aside_user TO regress_jobs;
GRANT CREATE ON SCHEMA public TO regress_jobs;
CREATE VIEW jobs AS SELECT name, state, chunks_failed, chunks_running + chunks_waiting AS open, percent, sqlstate, message FROM aside.parallel_jobs ORDER BY id;
CREATE VIEW failed_chunks AS SELECT job, low, high, sqlstate, message FROM aside.parallel_chunks WHERE state = 'failed' ORDER BY job, low;
GRANT SELECT ON jobs, failed_chunks TO regress_jobs;
SET SESSION AUTHORIZATION regress_jobs;
CREATE TABLE job_rows (id int PRIMARY KEY, times int NOT NULL DEFAULT 0, who text);
INSERT INTO job_rows SELECT g FROM generate_series(1, 3000) g;
ANALYZE job_rows;

-- each row once, as the owner, with the settings of a login
SELECT parallel_start('each', 'UPDATE job_rows SET times = times + 1, who = concat_ws('' '', session_user, current_user, current_setting(''work_mem'')) WHERE id BETWEEN $1 AND $2',
    'job_rows', chunk_rows => 100) > 0 AS started;
SELECT parallel_wait('each', '60 s');
SELECT * FROM jobs;
SELECT count(*), sum(rows), bool_and(state = 'done' AND pid IS NOT NULL AND finished >= started) FROM aside.parallel_chunks;
SELECT times, who, count(*) FROM job_rows GROUP BY 1, 2;
SELECT owner, target, chunk_by, rows_done, rows_total, rate > 0 AS has_rate, eta, workers, chunk_rows, finished >= started AS took FROM aside.parallel_jobs;
-- its size follows its speed
SELECT parallel_start('sized', 'UPDATE job_rows SET times = times + 1 WHERE id BETWEEN $1 AND $2', 'job_rows', workers => 1) > 0;
SELECT parallel_wait('sized', '60 s');
SELECT count(*) FROM job_rows WHERE times = 2;
SELECT min(rows) FILTER (WHERE number = 1), max(rows) > 1000 OR count(*) <= 3 AS grew FROM aside.parallel_chunks WHERE job = 'sized';

-- three bad rows: they are found, all others are done
UPDATE job_rows SET times = 0;
SELECT parallel_start('bad', 'UPDATE job_rows SET times = times + 1 / CASE WHEN id IN (17, 1500, 2999) THEN 0 ELSE 1 END WHERE id BETWEEN $1 AND $2',
    'job_rows', chunk_rows => 1000, max_attempts => 2) > 0;
SELECT parallel_wait('bad', '60 s');
SELECT * FROM jobs WHERE name = 'bad';
SELECT * FROM failed_chunks;
SELECT times, count(*) FROM job_rows GROUP BY 1 ORDER BY 1;
SELECT count(*) <= 3 + 3 * 2 * 10 AS few, count(*) FILTER (WHERE state = 'split') > 20 AS divided FROM aside.parallel_chunks WHERE job = 'bad';
-- and once they are mended, they are tried again
SELECT parallel_retry('bad');
SELECT parallel_wait('bad', '60 s');
SELECT * FROM failed_chunks;
ALTER TABLE job_rows ADD COLUMN fixed int;
SELECT parallel_drop('bad');
SELECT count(*) FROM failed_chunks;

-- a constraint that is checked at the commit fails its chunk, and nothing says that it is done
CREATE TABLE job_parents (id int PRIMARY KEY);
INSERT INTO job_parents SELECT g FROM generate_series(1, 2999) g;
ALTER TABLE job_rows ADD CONSTRAINT late FOREIGN KEY (fixed) REFERENCES job_parents DEFERRABLE INITIALLY DEFERRED;
SELECT parallel_start('late', 'UPDATE job_rows SET fixed = id WHERE id BETWEEN $1 AND $2', 'job_rows', chunk_rows => 1000, max_attempts => 1) > 0;
SELECT parallel_wait('late', '60 s');
SELECT * FROM jobs WHERE name = 'late';
SELECT * FROM failed_chunks;
SELECT count(fixed), count(*) FILTER (WHERE fixed IS NULL) FROM job_rows;
INSERT INTO job_parents VALUES (3000);
SELECT parallel_retry('late');
SELECT parallel_wait('late', '60 s');
SELECT count(*) FROM job_rows WHERE fixed = id;
SELECT * FROM jobs WHERE name = 'late';

-- a command that is wrong stops its job, and one that ends its transaction is refused
CREATE PROCEDURE commits(low int, high int) LANGUAGE plpgsql AS $$ BEGIN UPDATE job_rows SET times = -1 WHERE id BETWEEN low AND high; COMMIT; END $$;
SELECT count(parallel_start(n, c, 'job_rows', chunk_rows => 1000)) FROM (VALUES
    ('wrong', 'UPDATE job_rows SET nothing = 1 WHERE id BETWEEN $1 AND $2'),
    ('calls', 'CALL commits($1, $2)'),
    ('commits', 'UPDATE job_rows SET times = -1 WHERE id BETWEEN $1 AND $2; COMMIT')) v (n, c);
SELECT bool_and(parallel_wait(n, '60 s')) FROM unnest('{wrong,calls,commits}'::text[]) n;
SELECT name, state, sqlstate, message, hint FROM aside.parallel_jobs WHERE name IN ('wrong', 'calls', 'commits') ORDER BY id;
SELECT count(*) FROM job_rows WHERE times = -1;
SELECT count(*) FILTER (WHERE state = 'split') FROM aside.parallel_chunks WHERE job IN ('wrong', 'calls', 'commits');

-- several statements are one transaction
SELECT parallel_start('several', 'UPDATE job_rows SET times = 7 WHERE id BETWEEN $1 AND $2; UPDATE job_rows SET times = times / (3000 - id) WHERE id BETWEEN $1 AND $2',
    'job_rows', chunk_rows => 1500, max_attempts => 1) > 0;
SELECT parallel_wait('several', '60 s');
SELECT * FROM failed_chunks WHERE job = 'several';
SELECT count(*) FROM job_rows WHERE times = 7 OR id = 3000;

-- paused it begins no chunk; cancelled it does no more
CREATE TABLE job_gate (open boolean);
INSERT INTO job_gate VALUES (false);
CREATE FUNCTION waits() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    WHILE NOT (SELECT open FROM job_gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
    RETURN true;
END $$;
UPDATE job_rows SET times = 0;
SELECT parallel_start('gated', 'UPDATE job_rows SET times = times + 1 WHERE id BETWEEN $1 AND $2 AND (SELECT waits())', 'job_rows', chunk_rows => 10) > 0;
CALL until('(SELECT chunks_running = 2 FROM aside.parallel_jobs WHERE name = ''gated'')');
SELECT parallel_wait('gated', '10 ms');
SELECT parallel_pause('gated'), parallel_pause('gated');
UPDATE job_gate SET open = true;
CALL until('(SELECT open - chunks_waiting = 0 FROM jobs JOIN aside.parallel_jobs USING (name) WHERE name = ''gated'')');
SELECT state, waits_for, chunks_done, eta FROM aside.parallel_jobs WHERE name = 'gated';
SELECT sum(times) FROM job_rows;
UPDATE job_gate SET open = false;
SELECT parallel_resume('gated'), parallel_resume('gated');
CALL until('(SELECT chunks_running = 2 FROM aside.parallel_jobs WHERE name = ''gated'')');
SELECT parallel_cancel('gated'), parallel_cancel('gated');
CALL until('(SELECT chunks_running = 0 FROM aside.parallel_jobs WHERE name = ''gated'')');
SELECT state, chunks_done, finished IS NOT NULL FROM aside.parallel_jobs WHERE name = 'gated';
SELECT sum(times) FROM job_rows;
SELECT parallel_wait('gated'), parallel_resume('gated'), parallel_pause('gated');
SELECT parallel_retry('gated');
SELECT parallel_drop('gated');

-- rows without a key are a chunk of their own
CREATE TABLE job_nulls (id int, times int DEFAULT 0);
CREATE INDEX ON job_nulls (id);
INSERT INTO job_nulls SELECT nullif(g % 10, 0) FROM generate_series(1, 1000) g;
SELECT parallel_start('nulls', 'UPDATE job_nulls SET times = times + 1 WHERE id BETWEEN $1 AND $2 OR $1 IS NULL AND id IS NULL', 'job_nulls', chunk_column => 'id',
    chunk_rows => 250) > 0;
SELECT parallel_wait('nulls', '60 s');
SELECT low, high, rows, state FROM aside.parallel_chunks WHERE job = 'nulls' ORDER BY low NULLS FIRST;
SELECT times, count(*) FROM job_nulls GROUP BY 1;
-- one chunk that is one key is not divided
SELECT parallel_start('one key', 'UPDATE job_nulls SET times = 1 / (id - 5) WHERE id BETWEEN $1 AND $2', 'job_nulls', chunk_column => 'id', chunk_rows => 1) > 0;
SELECT parallel_wait('one key', '60 s');
SELECT * FROM failed_chunks WHERE job = 'one key';
-- nothing to do
CREATE TABLE job_empty (id bigint PRIMARY KEY);
SELECT parallel_start('empty', 'DELETE FROM job_empty WHERE id BETWEEN $1 AND $2', 'job_empty') > 0;
SELECT parallel_wait('empty', '60 s');
SELECT * FROM jobs WHERE name = 'empty';

-- by the rows of a query, and by partition
SELECT parallel_start('by query', 'UPDATE job_rows SET times = 100 WHERE id BETWEEN $1 AND $2', chunk_by => 'query',
    chunk_query => 'SELECT g, g + 9 FROM generate_series(1, 101, 20) g') > 0;
SELECT parallel_wait('by query', '60 s');
SELECT count(*), min(id), max(id) FROM job_rows WHERE times = 100;
CREATE TABLE job_parts (id int, times int DEFAULT 0) PARTITION BY RANGE (id);
CREATE TABLE job_parts_1 PARTITION OF job_parts FOR VALUES FROM (1) TO (100);
CREATE TABLE job_parts_2 PARTITION OF job_parts FOR VALUES FROM (100) TO (200);
INSERT INTO job_parts SELECT g FROM generate_series(1, 199) g;
SELECT parallel_start('by partition', 'UPDATE job_parts SET times = times + 1 WHERE tableoid = $1', 'job_parts', chunk_by => 'partition') > 0;
SELECT parallel_wait('by partition', '60 s');
SELECT low, rows FROM aside.parallel_chunks WHERE job = 'by partition' ORDER BY number;
SELECT times, count(*) FROM job_parts GROUP BY 1;

-- a dry run records nothing
SELECT parallel_start('dry', 'DELETE FROM job_rows WHERE id BETWEEN $1 AND $2', 'job_rows', chunk_rows => 100, dry_run => true);
SELECT count(*) FROM jobs WHERE name = 'dry';
-- a job begins when its transaction has committed
BEGIN;
SELECT parallel_start('later', 'UPDATE job_rows SET times = 0 WHERE id BETWEEN $1 AND $2', 'job_rows') > 0;
SELECT parallel_wait('later');
ROLLBACK;
SELECT parallel_wait('later');
SELECT parallel_start('each', 'UPDATE job_rows SET times = 0 WHERE id BETWEEN $1 AND $2', 'job_rows') > 0;

-- other roles
RESET SESSION AUTHORIZATION;
CREATE ROLE regress_jobs_other LOGIN;
GRANT aside_user TO regress_jobs_other;
SET SESSION AUTHORIZATION regress_jobs_other;
SELECT parallel_pause('each');
SELECT parallel_wait('each');
SELECT parallel_drop('each');
SELECT name, owner, command, message FROM aside.parallel_jobs WHERE name IN ('each', 'wrong') ORDER BY id;
SELECT count(*) FROM aside.parallel_chunks;
SELECT count(*) FROM aside.parallel_job;
RESET SESSION AUTHORIZATION;
SELECT parallel_wait('each');
SELECT count(*) > 0 AS seen FROM aside.parallel_chunks;

DROP OWNED BY regress_jobs, regress_jobs_other CASCADE;
SELECT count(*) FROM aside.parallel_jobs;
CALL until('(SELECT count(*) = 0 FROM aside.parallel_chunk)');
DROP VIEW jobs, failed_chunks;
DROP ROLE regress_jobs, regress_jobs_other;
