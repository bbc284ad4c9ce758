-- Claim: the examples of docs/schedules.md do what it says.
\set SHOW_CONTEXT never
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
\set QUIET on
\pset tuples_only on
CREATE PROCEDURE refresh() LANGUAGE plpgsql AS 'BEGIN COMMIT; END';
\o /dev/null
SELECT schedule_set('nightly', '30 4 * * *', 'VACUUM ANALYZE', timezone => 'Europe/Berlin');
SELECT schedule_set('every minute', 'every 1 minute', 'CALL refresh()', timeout => '50 seconds', max_attempts => 3);
SELECT schedule_run_now('nightly') AS run \gset
SELECT schedule_wait(:run, '1 minute');
\o
SELECT schedule, state, command_tag FROM aside.schedule_runs WHERE manual;
\o /dev/null
SELECT name, next_run_at, last_state, consecutive_failures FROM aside.schedules ORDER BY next_run_at;
SELECT schedule, due, state, duration, rows, command_tag, sqlstate, message, messages FROM aside.schedule_runs ORDER BY due DESC, run DESC LIMIT 20;
\o
SELECT schedule_explain('30 4 * * mon-fri');
SELECT * FROM schedule_preview('30 2 * * *', 'Europe/Berlin', 3, '2024-03-30 12:00+01');
\o /dev/null
CREATE TABLE counted (type text CHECK (type IN ('total', 'delta')), value int);
CREATE UNIQUE INDEX ON counted (type) WHERE type = 'total';
INSERT INTO counted VALUES ('total', 0), ('delta', 2), ('delta', 3);
CREATE FUNCTION sum_up() RETURNS void LANGUAGE sql AS $$
    WITH deleted AS (DELETE FROM counted WHERE type = 'delta' RETURNING value)
    UPDATE counted SET value = counted.value + (SELECT coalesce(sum(value), 0) FROM deleted) WHERE type = 'total' $$;
-- by the clock
SELECT schedule_set('sum up', 'every 1 second', 'SELECT sum_up()');
-- or as soon as a transaction that adds some has committed
CREATE FUNCTION sum_up_event(jsonb) RETURNS void LANGUAGE sql AS 'SELECT sum_up()';
SELECT async_event_on('deltas', 'sum_up_event(jsonb)');
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM async_event_emit(''deltas''); RETURN NULL; END';
CREATE TRIGGER tell AFTER INSERT ON counted EXECUTE FUNCTION tell();
\o
CALL until('(SELECT value FROM counted WHERE type = ''total'') = 5');
SELECT schedule_drop('sum up');
INSERT INTO counted VALUES ('delta', 10);
CALL until('(SELECT value FROM counted WHERE type = ''total'') = 15');
SELECT count(*) FROM counted;
SELECT async_event_off('deltas');
SELECT count(schedule_drop(name)) FROM aside.schedules;
-- jobs of pg_cron
CREATE TABLE jobs (jobid bigint, schedule text, command text, nodename text, nodeport int, database text, username text, active boolean, jobname text);
INSERT INTO jobs VALUES (1, '0 10 * * *', 'VACUUM', 'localhost', 5432, current_database(), current_user, true, NULL),
    (7, '30 seconds', 'SELECT 1', 'localhost', 5432, current_database(), current_user, false, 'often'),
    (8, '0 0 $ * *', 'SELECT 2', '', 5432, current_database(), current_user, true, 'last day');
SET client_min_messages = warning;
\o /dev/null
CREATE EXTENSION aside_cron;
INSERT INTO cron.job SELECT * FROM jobs;
SELECT jobid, jobname, schedule, username, active FROM cron.job ORDER BY jobid;
\o
SELECT jobid, jobname, schedule, active FROM cron.job ORDER BY jobid;
DELETE FROM cron.job;
DROP EXTENSION aside_cron;
\o /dev/null
SELECT schedule_set(coalesce(jobname, 'job ' || jobid), CASE WHEN schedule ~* 'second' THEN 'every ' || schedule ELSE replace(schedule, '$', 'L') END,
    command, timezone => 'GMT', overlap => 'queue', misfire => 'skip', database => database, enabled => active)
FROM jobs WHERE username = current_user;
\o
SELECT name, spec, command, timezone, state FROM aside.schedules ORDER BY id;
SELECT count(schedule_drop(name)) FROM aside.schedules;
DROP TABLE jobs;
DROP TABLE counted;
DROP FUNCTION tell(), sum_up_event(jsonb), sum_up();
DROP PROCEDURE refresh();
