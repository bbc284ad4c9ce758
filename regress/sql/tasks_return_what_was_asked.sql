-- Claim: a task gets its arguments as they are, and whoever asks gets its
-- rows, as often as it asks; its messages, and its error with every field.
\set SHOW_CONTEXT never
SELECT async_exec('SELECT $1 + 1, $2, $3, $4, $5', 41, NULL::text, ARRAY[1, NULL, 3], 'a literal', NULL) AS t \gset
SELECT * FROM async_result(:t) AS (a int, b text, c int[], d text, e text);
-- as often as it is asked
SELECT * FROM async_result(:t) AS (a int, b text, c int[], d text, e text);
-- assigned to what is expected, each time
SELECT * FROM async_result(:t) AS (a bigint, b varchar, c int[], d text, e text);
SELECT * FROM async_result(:t) AS (a int);
SELECT * FROM async_result(:t) AS (a date, b text, c int[], d text, e text);
SELECT (r).* FROM (SELECT 1 AS one) o, async_result(:t) AS r(a int, b text, c int[], d text, e text);
-- VARIADIC, and arguments that are too few or too many
SELECT x FROM async_result(async_exec('SELECT $1 || $2', VARIADIC ARRAY['spread ', 'out'])) AS (x text);
\set VERBOSITY sqlstate
SELECT x FROM async_result(async_exec('SELECT $1 || $2', 'one'::text)) AS (x text);
SELECT x FROM async_result(async_exec('SELECT 1', 'one'::text)) AS (x int);
SELECT async_exec(NULL);
SELECT async_exec_on_commit(NULL);
SELECT x FROM async_result(NULL) AS (x int);
SELECT x FROM async_result(0) AS (x int);
SELECT x FROM async_result(-1) AS (x int);
SELECT x FROM async_result(9223372036854775807) AS (x int);
\set VERBOSITY default
SELECT x FROM async_result(async_exec('')) AS (x int);
-- types of this database, and composite ones
CREATE TYPE regress_pair AS (a int, b text);
CREATE TYPE regress_mood AS ENUM ('low', 'high');
CREATE DOMAIN regress_small AS int CHECK (VALUE < 10);
SELECT * FROM async_result(async_exec('SELECT $1, $2, $3, $4', ROW(1, NULL)::regress_pair, 'high'::regress_mood, 9::regress_small,
    ARRAY[ROW(2, 'x')::regress_pair])) AS (p regress_pair, m regress_mood, s regress_small, a regress_pair[]);
-- values beyond a page, and 10 MB as an argument
SELECT length(x), md5(x) = md5(repeat('ab', 100000)) AS same FROM async_result(async_exec('SELECT $1', repeat('ab', 100000))) AS (x text);
SELECT length(x) FROM async_result(async_exec('SELECT $1', repeat('x', 10000000))) AS (x text);
SELECT length(x) FROM async_result(async_exec('SELECT ''' || repeat('y', 1000000) || '''')) AS (x text);
SELECT x FROM async_result(async_exec('SELECT octet_length($1)', decode(repeat('00ff', 5000000), 'hex'))) AS (x int);

-- several statements: one transaction, the rows of the last that has any
CREATE TABLE regress_tasks (x int, what text);
SELECT x FROM async_result(async_exec('INSERT INTO regress_tasks VALUES (1, ''one''); SELECT x FROM regress_tasks; INSERT INTO regress_tasks VALUES (2, ''two'')')) AS (x int);
SELECT async_exec('INSERT INTO regress_tasks VALUES (3, ''three''); SELECT 1/0') AS t \gset
SELECT async_wait(:t);
SELECT * FROM regress_tasks ORDER BY x;
SELECT * FROM async_result(:t) AS (x int);
-- no rows
SELECT * FROM async_result(async_exec('INSERT INTO regress_tasks VALUES (4, ''four'')')) AS (x int);
-- the tags of pg_background
SELECT * FROM aside.task_result_tags(async_exec('INSERT INTO regress_tasks VALUES (5, ''five''); UPDATE regress_tasks SET x = x')) AS (tag text);

-- what aside.tasks says
SET aside.task_label = 'the "label"';
SELECT async_exec('INSERT INTO regress_tasks SELECT g FROM generate_series(10, 19) g') AS t \gset
RESET aside.task_label;
SELECT async_wait(:t);
SELECT state, owner = current_user AS mine, database = current_database() AS here, command, label, rows, sqlstate, message,
    started >= submitted AS later, finished >= started AS later_still, submitter = pg_backend_pid() AS by_me, pid, detached
FROM aside.tasks WHERE id = :t;
SELECT async_exec('SELECT 1/0') AS t \gset
SELECT async_wait(:t);
SELECT state, label, rows, sqlstate, message FROM aside.tasks WHERE id = :t;
-- the beginning of a long command, whole characters of it
SELECT async_exec('SELECT ' || repeat('/* я */', 200) || ' 1') AS t \gset
SELECT length(command) < 520, octet_length(command) BETWEEN 500 AND 512 AS bounded, right(command, 12) ~ 'я' AS whole FROM aside.tasks WHERE id = :t;
SELECT x FROM async_result(:t) AS (x int);

-- messages arrive with the result, each time, in order
CREATE FUNCTION regress_talks(n int) RETURNS int LANGUAGE plpgsql AS $f$
BEGIN
    RAISE NOTICE 'notice %', n USING DETAIL = 'its detail', HINT = 'its hint';
    RAISE WARNING 'warning %', n;
    RAISE LOG 'for the log';
    RAISE DEBUG 'not wanted';
    RETURN n;
END $f$;
SELECT async_exec('SELECT regress_talks(7)') AS t \gset
SELECT async_wait(:t);
SELECT * FROM async_result(:t) AS (x int);
SELECT * FROM async_result(:t) AS (x int);
SET client_min_messages = error;
SELECT * FROM async_result(:t) AS (x int);
RESET client_min_messages;
SELECT async_exec('SELECT regress_talks(8); SELECT 1/0') AS t \gset
SELECT * FROM async_result(:t) AS (x int);

-- errors: every field
CREATE FUNCTION regress_fails() RETURNS void LANGUAGE plpgsql AS $f$
BEGIN
    RAISE EXCEPTION 'its message' USING ERRCODE = 'RA001', DETAIL = 'its detail', HINT = 'its hint', COLUMN = 'its column',
        CONSTRAINT = 'its constraint', DATATYPE = 'its type', TABLE = 'its table', SCHEMA = 'its schema';
END $f$;
DO $d$
DECLARE
    f0 text; f1 text; f2 text; f3 text; f4 text; f5 text; f6 text; f7 text; f8 text; f9 text;
BEGIN
    PERFORM * FROM async_result(async_exec('SELECT regress_fails()')) AS (x text);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS f0 = RETURNED_SQLSTATE, f1 = MESSAGE_TEXT, f2 = PG_EXCEPTION_DETAIL, f3 = PG_EXCEPTION_HINT,
        f4 = COLUMN_NAME, f5 = CONSTRAINT_NAME, f6 = PG_DATATYPE_NAME, f7 = TABLE_NAME, f8 = SCHEMA_NAME, f9 = PG_EXCEPTION_CONTEXT;
    RAISE INFO '%', concat_ws(' | ', f0, f1, f2, f3, f4, f5, f6, f7, f8);
    RAISE INFO '%', regexp_replace(f9, 'task \d+', 'task N');
END $d$;
-- with its place
SELECT * FROM async_result(async_exec('SELECT nowhere FROM regress_tasks')) AS (x int);
SELECT * FROM async_result(async_exec('SELEKT')) AS (x int);
SELECT * FROM async_result(async_exec('COPY regress_tasks TO STDOUT')) AS (x int);
SELECT * FROM async_result(async_exec('BEGIN')) AS (x int);
-- a deferred constraint fails the commit, after the rows
ALTER TABLE regress_tasks ADD CONSTRAINT regress_once UNIQUE (x) DEFERRABLE INITIALLY DEFERRED;
SELECT async_exec('INSERT INTO regress_tasks VALUES (1, ''again'') RETURNING x') AS t \gset
SELECT * FROM async_result(:t) AS (x int);
SELECT state, sqlstate FROM aside.tasks WHERE id = :t;
-- a task that fails is no error of this transaction until it is asked for
BEGIN;
SELECT async_wait(async_exec('SELECT 1/0'));
SELECT 'goes on';
COMMIT;

-- progress
SELECT async_exec('SELECT async_progress(12.5, ''an eighth''); SELECT pg_sleep(60)') AS t \gset
CALL until($$EXISTS (SELECT FROM aside.tasks WHERE progress = 12.5 AND state = 'running')$$);
SELECT state, progress, progress_message, pid IS NOT NULL AS has_pid, finished, rows FROM aside.tasks WHERE id = :t;
SELECT w.state FROM aside.workers w JOIN aside.tasks t USING (pid) WHERE t.id = :t;
SELECT async_cancel(:t);
SELECT async_wait(:t);
SELECT state, progress, progress_message FROM aside.tasks WHERE id = :t;
-- from a call within the task
SELECT async_exec('SELECT autonomous_exec(''SELECT async_progress(50); SELECT async_progress(NULL, $1)'', ''inner'')') AS t \gset
SELECT async_wait(:t);
SELECT state, progress, progress_message FROM aside.tasks WHERE id = :t;
SELECT async_progress(1), async_progress(NULL, NULL), async_progress(100, 'nobody');
SELECT async_progress(101);
SELECT async_progress(-0.5);
SELECT async_progress('NaN');

-- what deferred triggers say at the commit
CREATE FUNCTION regress_deferred() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE NOTICE 'at commit: %', NEW; RETURN NULL; END$$;
CREATE TABLE regress_deferred (x int);
CREATE CONSTRAINT TRIGGER t AFTER INSERT ON regress_deferred DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION regress_deferred();
SELECT * FROM async_result(async_exec('INSERT INTO regress_deferred VALUES (1), (2) RETURNING x')) AS (x int);
DROP TABLE regress_deferred;
DROP FUNCTION regress_deferred;

DROP TABLE regress_tasks;
DROP FUNCTION regress_talks, regress_fails;
DROP TYPE regress_pair, regress_mood, regress_small;
