-- Claim: a schedule's command runs when it is due, as its owner, at top level, with the settings of a login; how it ended is
-- written down: done, failed with all fields, timed out, cancelled, lost.
\set SHOW_CONTEXT never
CREATE ROLE regress_sched LOGIN;
ALTER ROLE regress_sched SET work_mem = '7MB';
GRANT aside_user TO regress_sched;
GRANT CREATE ON SCHEMA public TO regress_sched;
CREATE PROCEDURE runs(name text, patience interval DEFAULT '20 s') LANGUAGE plpgsql AS $$
DECLARE run bigint := schedule_run_now(name);
BEGIN
    COMMIT;
    IF NOT schedule_wait(run, patience) THEN RAISE INFO 'run of % does not end', name; END IF;
END $$;
CREATE VIEW ended AS SELECT schedule, attempt, state, rows, command_tag AS tag, sqlstate, message FROM aside.schedule_runs ORDER BY run, attempt;
GRANT SELECT ON ended TO regress_sched;
SET SESSION AUTHORIZATION regress_sched;
CREATE TABLE sched_told (n serial, what text);

-- it comes due by itself, again and again
SELECT schedule_set('tick', '* * * * * *', 'INSERT INTO sched_told (what) VALUES (''tick'')') > 0;
CALL until('(SELECT count(*) FROM aside.schedule_runs WHERE finished IS NOT NULL) >= 3');
SELECT name, owner, spec, consecutive_failures, last_state IN ('done', 'running') AS goes, next_run_at > last_due AS has_next FROM aside.schedules;
SELECT count(*) > 2 AS several, bool_and(state = 'done') AS done, bool_and(started - due < '1 s') AS punctual, count(DISTINCT due) = count(*) AS each_once
    FROM aside.schedule_runs WHERE finished IS NOT NULL;
-- paused it begins nothing more
SELECT schedule_pause('tick'), schedule_pause('tick');
SELECT state, next_run_at IS NULL AS no_next FROM aside.schedules;
SELECT schedule_resume('tick'), schedule_resume('tick');
SELECT schedule_drop('tick');
SELECT count(*) FROM aside.schedules;
TRUNCATE sched_told RESTART IDENTITY;

-- what a command may be
SELECT count(schedule_set(name, '@yearly', command)) FROM (VALUES
    ('several', 'INSERT INTO sched_told (what) VALUES (''a''); INSERT INTO sched_told (what) VALUES (''b''), (''c'')'),
    ('fails half way', 'INSERT INTO sched_told (what) VALUES (''never''); SELECT 1/0'),
    ('vacuum', 'VACUUM sched_told'),
    ('who', 'INSERT INTO sched_told (what) SELECT concat_ws('' '', session_user, current_user, current_setting(''work_mem''), current_setting(''application_name''))'),
    ('copy', 'COPY sched_told TO STDOUT'),
    ('listen', 'LISTEN x'),
    ('says', 'DO ''BEGIN RAISE NOTICE $x$hello$x$; RAISE WARNING $x$careful$x$; END'''),
    ('errs', 'DO ''BEGIN RAISE EXCEPTION $x$no$x$ USING ERRCODE = $x$AB123$x$, DETAIL = $x$the detail$x$, HINT = $x$the hint$x$; END''')) c (name, command);
CREATE PROCEDURE sched_commits() LANGUAGE plpgsql AS $$
BEGIN INSERT INTO sched_told (what) VALUES ('kept'); COMMIT; INSERT INTO sched_told (what) VALUES ('dropped'); ROLLBACK; END $$;
SELECT schedule_set('call', '@yearly', 'CALL sched_commits()') > 0;
CALL runs('several');
CALL runs('fails half way');
CALL runs('vacuum');
CALL runs('who');
CALL runs('copy');
CALL runs('listen');
CALL runs('says');
CALL runs('errs');
CALL runs('call');
SELECT * FROM ended;
SELECT what FROM sched_told ORDER BY n;
SELECT detail, hint FROM aside.schedule_runs WHERE schedule = 'errs';
SELECT messages FROM aside.schedule_runs WHERE schedule = 'says';
SELECT name, consecutive_failures, last_message FROM aside.schedules WHERE consecutive_failures > 0 ORDER BY name;
SELECT count(schedule_drop(name)) FROM aside.schedules;
SELECT count(*) FROM aside.schedule_runs;

-- it is tried again; it has a time; it is cancelled; its worker goes
SELECT schedule_set('retried', '@yearly', 'SELECT 1/0', max_attempts => 3, backoff => '10 ms') > 0;
SELECT schedule_set('slow', '@yearly', 'SELECT pg_sleep(60)', timeout => '100 ms') > 0;
SELECT schedule_set('traps', '@yearly', 'DO ''BEGIN LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END''',
    timeout => '100 ms') > 0;
SELECT schedule_set('ends', '@yearly', 'SELECT pg_terminate_backend(pg_backend_pid())', misfire => 'skip') > 0;
SELECT schedule_set('ends thrice', '@yearly', 'SELECT pg_terminate_backend(pg_backend_pid())') > 0;
CALL runs('retried');
CALL runs('slow');
CALL runs('traps');
CALL runs('ends');
CALL runs('ends thrice');
SELECT schedule_set('long', '@yearly', 'SELECT pg_sleep(60)') > 0;
SELECT schedule_run_now('long') AS run \gset
CALL until('EXISTS (SELECT FROM aside.schedule_runs WHERE schedule = ''long'' AND state = ''running'' AND pid IS NOT NULL)');
-- while it runs another one waits
SELECT schedule_run_now('long') AS second \gset
CALL until('EXISTS (SELECT FROM aside.schedule_runs WHERE schedule = ''long'' AND state = ''waiting'')');
SELECT schedule_wait(:second, '50 ms');
SELECT schedule_cancel_run(:second);
SELECT schedule_wait(:second, '20 s');
SELECT schedule_cancel_run(:run);
SELECT schedule_wait(:run, '20 s');
SELECT schedule_cancel_run(:run);
SELECT schedule_cancel_run(:run), schedule_wait(:run, '1 s');
SELECT schedule, attempt, state, sqlstate FROM ended;
SELECT count(schedule_drop(name)) FROM aside.schedules;

-- overlaps
SELECT schedule_set(o, '* * * * * *', 'SELECT pg_sleep(2.2)', overlap => o, max_runs => 3) > 0 FROM unnest('{skip,allow,cancel_running,queue}'::text[]) o;
CALL until('(SELECT count(*) FROM aside.schedules WHERE state = ''ended'') = 4', '60 s');
SELECT s.overlap, bool_or(r.state = 'skipped') FILTER (WHERE s.overlap IN ('skip', 'allow')) AS skips, bool_or(r.state = 'cancelled') AS cancels,
    EXISTS (SELECT FROM aside.schedule_runs a JOIN aside.schedule_runs b ON a.schedule = b.schedule AND a.run < b.run AND b.started < a.finished
        WHERE a.schedule = s.name AND a.state <> 'skipped' AND b.state <> 'skipped') AS overlaps
    FROM aside.schedules s JOIN aside.schedule_runs r ON r.schedule = s.name GROUP BY s.overlap, s.name ORDER BY s.overlap;
SELECT count(schedule_drop(name)) FROM aside.schedules;

-- after the last end; once; as often as it may
SELECT schedule_set('after', 'after 1 second', 'SELECT pg_sleep(0.5)', max_runs => 2) > 0;
SELECT schedule_set('once', 'at ' || clock_timestamp() + interval '1 second', 'SELECT 1') > 0;
CALL until('(SELECT count(*) FROM aside.schedules WHERE state = ''ended'') = 1 AND (SELECT runs FROM aside.schedules WHERE name = ''after'') = 2');
CALL until('NOT EXISTS (SELECT FROM aside.schedule_runs WHERE state IN (''waiting'', ''running''))');
SELECT schedule, state FROM ended ORDER BY 1, 2;
SELECT max(due) - min(due) >= '1.5 s' AS apart FROM aside.schedule_runs WHERE schedule = 'after';
-- replaced it keeps its history, and its next time if that is the same
SELECT next_run_at AS before FROM aside.schedules WHERE name = 'after' \gset
SELECT schedule_set('again', 'every 1 hour', 'SELECT 1') = schedule_set('again', 'every 1 hour', 'SELECT 2', overlap => 'allow') AS same;
SELECT command, overlap FROM aside.schedules WHERE name = 'again';
SELECT count(schedule_drop(name)) FROM aside.schedules;

-- what is refused
SELECT schedule_set(NULL, '@daily', 'SELECT 1');
SELECT schedule_set('x', NULL, 'SELECT 1');
SELECT schedule_set('x', '@daily', NULL);
SELECT schedule_set('x', '@daily', '  ');
SELECT schedule_set('x', '0 0 30 2 *', 'SELECT 1');
SELECT schedule_set('x', '@daily', 'SELECT 1', timezone => 'Mars/Olympus');
SELECT schedule_set('x', '@daily', 'SELECT 1', overlap => 'maybe');
SELECT schedule_set('x', '@daily', 'SELECT 1', max_attempts => 0);
SELECT schedule_set('', '@daily', 'SELECT 1');
SELECT schedule_set('x', '@daily', 'SELECT 1', jitter => '-1 s');
SELECT schedule_set('x', '@daily', 'SELECT 1', history => NULL);
SELECT schedule_set('x', '@daily', 'SELECT 1', until => '-infinity');
SELECT schedule_set('x', '@daily', 'SELECT 1', database => 'regress_none');
SELECT schedule_drop('x');
SELECT schedule_run_now('x');
SELECT schedule_wait(-1);
BEGIN;
SELECT schedule_set('x', '@yearly', 'SELECT 1') > 0;
SELECT schedule_run_now('x') AS run \gset
\set VERBOSITY sqlstate
SELECT schedule_wait(:run, '1 s');
\set VERBOSITY default
ROLLBACK;
SELECT count(*) FROM aside.schedules;

-- roles: others neither see nor touch it; renamed, it stays; dropped with what the role owned
SELECT schedule_set('mine', '@yearly', 'SELECT 1') > 0;
RESET SESSION AUTHORIZATION;
CREATE ROLE regress_other LOGIN;
GRANT aside_user TO regress_other;
SET ROLE regress_other;
SELECT name, command FROM aside.schedules;
SELECT schedule_drop('mine');
SELECT schedule_set('mine', '@yearly', 'SELECT 2') > 0;
SELECT name, owner, command FROM aside.schedules ORDER BY owner;
RESET ROLE;
SELECT schedule_drop('mine');
ALTER ROLE regress_other RENAME TO regress_renamed;
CALL until('EXISTS (SELECT FROM aside.schedules WHERE owner = ''regress_renamed'')');
\set VERBOSITY terse
DROP ROLE regress_renamed;
\set VERBOSITY default
REASSIGN OWNED BY regress_renamed TO regress_sched;
SELECT owner, command FROM aside.schedules ORDER BY 1, 2;
-- without the right to log in it waits
ALTER ROLE regress_sched NOLOGIN;
SELECT DISTINCT reason FROM aside.schedules;
DROP OWNED BY regress_renamed, regress_sched;
CALL until('NOT EXISTS (SELECT FROM aside.schedule)');
DROP PROCEDURE runs(text, interval);
DROP VIEW ended;
DROP ROLE regress_renamed;
DROP ROLE regress_sched;
-- a database without schedules and handlers holds no process
CALL until('(SELECT state = ''idle'' FROM aside.coordinators WHERE database = current_database())');
