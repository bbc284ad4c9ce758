-- Claim: each example of docs/porting-from-oracle.md does what the guide says.
-- The blocks are the guide's, word for word and in its order (scripts/lint).
\set VERBOSITY sqlstate

-- The idioms one by one
CREATE SCHEMA porting;
SET search_path = porting, public;
CREATE TABLE app_log (id int GENERATED ALWAYS AS IDENTITY, said_by name DEFAULT current_user, msg text);
CREATE TABLE staff (id int PRIMARY KEY, salary int);
INSERT INTO staff VALUES (7, 1000), (8, 2000);

-- Logging procedure
CREATE PROCEDURE log_it(p_msg text) LANGUAGE plpgsql_autonomous AS $$
BEGIN
    INSERT INTO app_log (msg) VALUES (p_msg);
END
$$;

BEGIN;
UPDATE staff SET salary = 0;
CALL log_it('about to do something rash');
ROLLBACK;
SELECT msg FROM app_log; -- one row

CREATE PROCEDURE log_as_owner(p_msg text) LANGUAGE plpgsql_autonomous
SECURITY DEFINER SET search_path = porting, pg_temp AS $$
BEGIN
    INSERT INTO app_log (msg) VALUES (p_msg);
END
$$;
CALL log_as_owner('whoever I am');
SELECT msg FROM app_log ORDER BY id DESC LIMIT 1;

SELECT autonomous_exec('INSERT INTO app_log (msg) VALUES ($1)', 'by hand');

-- Auditing trigger
CREATE FUNCTION staff_audit() RETURNS trigger LANGUAGE plpgsql_autonomous AS $$
BEGIN
    INSERT INTO app_log (msg) VALUES (format('%s: %s -> %s', OLD.id, OLD.salary, NEW.salary));
    RETURN NEW;
END
$$;
CREATE TRIGGER staff_audit BEFORE UPDATE OF salary ON staff FOR EACH ROW EXECUTE FUNCTION staff_audit();

BEGIN;
UPDATE staff SET salary = 9999 WHERE id = 7;
ROLLBACK;
SELECT msg FROM app_log ORDER BY id DESC LIMIT 1; -- 7: 1000 -> 9999, an attempt that was rolled back

-- Error log from an exception handler
DO $$
BEGIN
    UPDATE staff SET salary = salary / 0;
EXCEPTION WHEN OTHERS THEN
    CALL log_it(SQLSTATE || ' ' || SQLERRM);
    RAISE;
END
$$;
SELECT msg FROM app_log ORDER BY id DESC LIMIT 1; -- 22012 division by zero

CREATE PROCEDURE log_or_forget(p_msg text) LANGUAGE plpgsql_autonomous AS $$
BEGIN
    INSERT INTO app_log (msg) VALUES (p_msg);
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'not logged: %', SQLERRM;
END
$$;
CALL log_or_forget('kept');
SELECT msg FROM app_log ORDER BY id DESC LIMIT 1;

CREATE PROCEDURE log_in_steps() LANGUAGE plpgsql_autonomous AS $$
BEGIN
    FOR i IN 1..3 LOOP
        BEGIN
            INSERT INTO app_log (msg) VALUES (format('step %s: %s', i, 6 / (2 - i)));
        EXCEPTION WHEN division_by_zero THEN
            INSERT INTO app_log (msg) VALUES (format('step %s: failed', i));
        END;
        COMMIT;
    END LOOP;
END
$$;
CALL log_in_steps();
SELECT msg FROM app_log WHERE msg LIKE 'step%' ORDER BY id;

-- Counters and gapless numbers
CREATE TABLE series (name text PRIMARY KEY, last bigint NOT NULL);
INSERT INTO series VALUES ('invoice', 0);
CREATE FUNCTION next_number(p_series text) RETURNS bigint LANGUAGE plpgsql_autonomous AS $$
DECLARE
    n bigint;
BEGIN
    UPDATE series SET last = last + 1 WHERE name = p_series RETURNING last INTO n;
    RETURN n;
END
$$;
BEGIN;
SELECT next_number('invoice');
ROLLBACK;
SELECT next_number('invoice'); -- 2: the rollback has left a gap

CREATE FUNCTION next_gapless(p_series text) RETURNS bigint LANGUAGE sql AS $$
    UPDATE series SET last = last + 1 WHERE name = p_series RETURNING last;
$$;
BEGIN;
SELECT next_gapless('invoice');
ROLLBACK;
SELECT next_gapless('invoice'); -- 3 again

-- Retry loop
CREATE SEQUENCE attempts; -- here it makes the first two attempts fail
CREATE FUNCTION attempt(p_id int) RETURNS int LANGUAGE plpgsql_autonomous
SET default_transaction_isolation = 'serializable' AS $$
BEGIN
    UPDATE staff SET salary = salary + 1 WHERE id = p_id;
    IF nextval('attempts') < 3 THEN
        RAISE serialization_failure;
    END IF;
    RETURN currval('attempts');
END
$$;
DO $$
BEGIN
    FOR i IN 1..10 LOOP
        BEGIN
            PERFORM attempt(8);
            EXIT;
        EXCEPTION WHEN serialization_failure OR deadlock_detected OR lock_not_available THEN
            IF i = 10 THEN
                RAISE;
            END IF;
        END;
    END LOOP;
END
$$;
SELECT salary, (SELECT last_value FROM attempts) AS attempts FROM staff WHERE id = 8; -- 2001 after 3 attempts

-- Function called from a query
CREATE FUNCTION read_salary(p_id int) RETURNS int LANGUAGE plpgsql_autonomous AS $$
BEGIN
    INSERT INTO app_log (msg) VALUES (format('salary of %s was read', p_id));
    RETURN (SELECT salary FROM staff WHERE id = p_id);
END
$$;
BEGIN READ ONLY;
SELECT id, read_salary(id) AS salary FROM staff ORDER BY id;
ROLLBACK;
SELECT count(*) FROM app_log WHERE msg LIKE 'salary of%'; -- 2

-- Packages
CREATE SCHEMA journal;
CREATE PROCEDURE journal.put(p_line text) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO app_log (msg) VALUES (p_line);
END
$$;
CREATE PROCEDURE journal.say(p_msg text) LANGUAGE plpgsql_autonomous AS $$
BEGIN
    CALL journal.put(current_setting('journal.module', true) || ': ' || p_msg);
    PERFORM set_config('journal.module', 'changed', false); -- does not come back
END
$$;
SET journal.module = 'billing';
BEGIN;
CALL journal.say('month closed');
ROLLBACK;
SELECT msg, current_setting('journal.module') AS module FROM app_log ORDER BY id DESC LIMIT 1;

-- Several COMMITs, ROLLBACK
CREATE TABLE jobs AS SELECT id, false AS done FROM generate_series(1, 10) id;
CREATE PROCEDURE do_jobs(fail_at int) LANGUAGE plpgsql_autonomous AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT id FROM jobs WHERE NOT done ORDER BY id LOOP
        UPDATE jobs SET done = true WHERE id = r.id;
        IF r.id % 4 = 0 THEN
            COMMIT;
        ELSIF r.id = fail_at THEN
            RAISE 'job % fails', r.id;
        END IF;
    END LOOP;
    INSERT INTO app_log (msg) VALUES ('a dry run');
    ROLLBACK;
END
$$;
CALL do_jobs(fail_at => 7); -- an error: 5 to 7 are rolled back
SELECT count(*) FILTER (WHERE done) AS done FROM jobs; -- 4
CALL do_jobs(fail_at => 0); -- ends with ROLLBACK: 5 to 8 are committed, 9 and 10 are not
SELECT count(*) FILTER (WHERE done) AS done FROM jobs; -- 8
SELECT count(*) FROM app_log WHERE msg = 'a dry run'; -- 0

-- Nested calls
CREATE PROCEDURE outer_work() LANGUAGE plpgsql_autonomous AS $$
BEGIN
    INSERT INTO app_log (msg) VALUES ('outer');
    CALL log_it('inner');
    ROLLBACK;
END
$$;
CALL outer_work();
SELECT msg FROM app_log WHERE msg IN ('outer', 'inner'); -- inner

CREATE FUNCTION deep(n int) RETURNS int LANGUAGE plpgsql_autonomous AS $$
BEGIN
    RETURN CASE n WHEN 1 THEN 1 ELSE 1 + deep(n - 1) END;
END
$$;
SET aside.max_depth = 3;
SELECT deep(3);
SELECT deep(4); -- 54001
RESET aside.max_depth;

-- Anonymous block
BEGIN;
DO LANGUAGE plpgsql_autonomous $$
BEGIN
    INSERT INTO app_log (msg) VALUES ('from a block');
    COMMIT;
    INSERT INTO app_log (msg) VALUES ('from a block, but rolled back');
    ROLLBACK;
END
$$;
ROLLBACK;
SELECT msg FROM app_log WHERE msg LIKE 'from a block%';

-- DBMS_OUTPUT
\set VERBOSITY terse
DO LANGUAGE plpgsql_autonomous $$
BEGIN
    RAISE NOTICE 'rows so far: %', (SELECT count(*) FROM jobs);
END
$$;
\set VERBOSITY sqlstate

-- Deadlock with the caller
CREATE PROCEDURE raise_salary(p_id int) LANGUAGE plpgsql_autonomous AS $$
BEGIN
    UPDATE staff SET salary = salary + 100 WHERE id = p_id;
END
$$;
BEGIN;
UPDATE staff SET salary = 0 WHERE id = 7;
SAVEPOINT before;
CALL raise_salary(7); -- 40P01
ROLLBACK TO before;
CALL raise_salary(8); -- another row
ROLLBACK;
SELECT id, salary FROM staff ORDER BY id;

-- Left without COMMIT (ORA-06519)
CREATE FUNCTION forgetful() RETURNS int LANGUAGE plpgsql_autonomous AS $$
BEGIN
    INSERT INTO app_log (msg) VALUES ('forgotten');
    RETURN 1;
END
$$;
SET aside.uncommitted_at_exit = error;
SELECT forgetful(); -- 2D000, rolled back
UPDATE staff SET salary = 1500 WHERE id = 7; -- its trigger may write
RESET aside.uncommitted_at_exit;
SELECT forgetful(); -- 1, committed
SELECT count(*) FROM app_log WHERE msg = 'forgotten'; -- 1

-- Temporary tables
CREATE TEMP TABLE todo AS SELECT * FROM generate_series(1, 3) id;
CREATE FUNCTION count_todo() RETURNS bigint LANGUAGE plpgsql_autonomous AS $$
BEGIN
    RETURN (SELECT count(*) FROM todo);
END
$$;
SELECT count_todo(); -- 42P01

CREATE PROCEDURE save_todo(ids int[]) LANGUAGE plpgsql_autonomous AS $$
BEGIN
    INSERT INTO app_log (msg) SELECT 'to do: ' || id FROM unnest(ids) id;
END
$$;
DO $$
DECLARE
    ids int[] := (SELECT array_agg(id) FROM todo);
BEGIN
    CALL save_todo(ids);
END
$$;
SELECT msg FROM app_log WHERE msg LIKE 'to do%' ORDER BY id;

-- Isolation level
CREATE FUNCTION isolation_here() RETURNS text LANGUAGE plpgsql_autonomous AS $$
BEGIN
    RETURN current_setting('transaction_isolation');
END
$$;
CREATE FUNCTION isolation_chosen() RETURNS text LANGUAGE plpgsql_autonomous
SET default_transaction_isolation = 'serializable' AS $$
BEGIN
    RETURN current_setting('transaction_isolation');
END
$$;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT isolation_here(), isolation_chosen(); -- read committed, serializable
ROLLBACK;

-- Values back
CREATE PROCEDURE log_returning(p_msg text, OUT p_id int, INOUT p_calls int) LANGUAGE plpgsql_autonomous AS $$
BEGIN
    INSERT INTO app_log (msg) VALUES (p_msg) RETURNING id INTO p_id;
    p_calls := p_calls + 1;
END
$$;
DO $$
DECLARE
    new_id int;
    calls int := 0;
BEGIN
    CALL log_returning('with an id', new_id, calls);
    CALL log_returning('with an id', new_id, calls);
    ASSERT calls = 2 AND new_id = (SELECT max(id) FROM app_log);
END
$$;
SELECT * FROM autonomous_query('INSERT INTO app_log (msg) VALUES ($1) RETURNING msg', 'direct') AS (msg text);

-- DDL
BEGIN;
INSERT INTO staff VALUES (9, 3000);
SELECT autonomous_exec('CREATE TABLE stage (x int)');
INSERT INTO stage VALUES (1); -- there already
ROLLBACK;
SELECT count(*) FROM stage; -- the table has stayed, the row has not

-- ora2pg's wrappers
CREATE TABLE actions (username text, event_date timestamp, msg text);
CREATE OR REPLACE PROCEDURE note_action (username text, event_date timestamp(0), msg text) AS $body$
BEGIN
  INSERT INTO actions(username, event_date, msg) VALUES (username, event_date, msg);

END;
$body$
LANGUAGE plpgsql_autonomous
;

BEGIN;
CALL note_action('scott', '2026-01-31 12:00', 'it''s a $1 "quoted" \ text');
ROLLBACK;
SELECT username, msg FROM actions;

CREATE FUNCTION actions_of_atx(who text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO actions VALUES (who, NULL, 'was counted');
    RETURN (SELECT count(*) FROM actions WHERE username = who);
END
$$;
BEGIN;
SELECT * FROM autonomous_query('SELECT * FROM actions_of_atx($1)', 'scott') AS p (ret bigint);
SELECT autonomous_exec('CALL note_action($1, $2, $3)', 'tiger', '2026-02-28 12:00', NULL);
ROLLBACK;
SELECT username, msg FROM actions ORDER BY username, msg;

-- Differences worth knowing
CREATE TABLE payslips (staff_id int REFERENCES staff, paid int);
BEGIN;
INSERT INTO staff VALUES (10, 4000);
SAVEPOINT before;
SELECT autonomous_exec('INSERT INTO payslips VALUES (10, 4000)'); -- 23503
ROLLBACK TO before;
SELECT autonomous_exec('INSERT INTO staff VALUES (10, 4000)'); -- 40P01
ROLLBACK;

BEGIN;
CREATE FUNCTION too_new() RETURNS int LANGUAGE plpgsql_autonomous AS 'BEGIN RETURN 1; END';
SELECT too_new(); -- 42883
ROLLBACK;
BEGIN;
CREATE TABLE newcomers (LIKE staff);
CREATE TRIGGER staff_audit BEFORE UPDATE ON newcomers FOR EACH ROW EXECUTE FUNCTION staff_audit();
INSERT INTO newcomers VALUES (1, 1);
UPDATE newcomers SET salary = 2; -- 42P01
ROLLBACK;

CREATE FUNCTION bulk_audit() RETURNS trigger LANGUAGE plpgsql_autonomous AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER bulk_audit AFTER INSERT ON jobs REFERENCING NEW TABLE AS n
    FOR EACH STATEMENT EXECUTE FUNCTION bulk_audit();
INSERT INTO jobs VALUES (11); -- 0A000
DROP TRIGGER bulk_audit ON jobs;

CREATE FUNCTION take_attempt() RETURNS bigint LANGUAGE plpgsql_autonomous AS $$
BEGIN
    RETURN nextval('attempts');
END
$$;
SELECT take_attempt();
SELECT currval('attempts'); -- 55000

CREATE SEQUENCE cached CACHE 50;
SELECT n FROM autonomous_query('SELECT nextval(''cached'')') AS r(n bigint); -- 1
SELECT n FROM autonomous_query('SELECT nextval(''cached'')') AS r(n bigint); -- 51

CREATE PROCEDURE slow() LANGUAGE plpgsql_autonomous AS $$
BEGIN
    INSERT INTO app_log (msg) VALUES ('slow: first');
    COMMIT;
    INSERT INTO app_log (msg) VALUES ('slow: second');
    PERFORM pg_sleep(60);
END
$$;
SET statement_timeout = '1s';
CALL slow(); -- 57014
RESET statement_timeout;
SELECT msg FROM app_log WHERE msg LIKE 'slow%';

SET client_min_messages = warning;
DROP SCHEMA journal CASCADE;
DROP SCHEMA porting CASCADE;
