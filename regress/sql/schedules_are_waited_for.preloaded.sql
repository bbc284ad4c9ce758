-- Claim: who waits for a run sleeps until somebody tells him that it has ended, whatever ends it: its command, a cancel, a drop of
-- its schedule, the end of its coordinator. He looks for himself once a second at most.
\set SHOW_CONTEXT never
SET track_functions = 'all';
CREATE FUNCTION looks(since timestamptz) RETURNS boolean LANGUAGE sql AS $$
    SELECT calls BETWEEN 1 AND 20 + 2 * extract(epoch FROM clock_timestamp() - since) FROM pg_stat_xact_user_functions WHERE funcname = 'schedule_run_ended' $$;
SELECT schedule_set('long', '@yearly', 'SELECT pg_sleep(2)') > 0;
SELECT schedule_run_now('long') AS run \gset
BEGIN;
SELECT clock_timestamp() AS since \gset
SELECT schedule_wait(:run, '100 ms') AS in_time;
SELECT schedule_wait(:run, '60 s') AS ended;
SELECT looks(:'since') AS looked_seldom;
COMMIT;
SELECT state FROM aside.schedule_runs WHERE run = :run;
-- what ends it is another session
SELECT schedule_set('hour', '@yearly', 'SELECT pg_sleep(3600)') > 0;
SELECT schedule_run_now('hour') AS run \gset
SELECT async_exec(format('SELECT pg_sleep(0.3); SELECT schedule_cancel_run(%s)', :run)) AS task \gset
SELECT schedule_wait(:run, '60 s') AS cancelled, async_wait(:task);
SELECT schedule_run_now('hour') AS run \gset
SET aside_test.run = :run;
SELECT async_exec('SELECT pg_sleep(0.3); SELECT schedule_drop($$hour$$)') AS task \gset
DO $$
BEGIN
    PERFORM schedule_wait(current_setting('aside_test.run')::bigint, '60 s');
EXCEPTION WHEN undefined_object THEN
    RAISE NOTICE 'it is no more';
END $$;
SELECT async_wait(:task);
-- its coordinator ends meanwhile
SELECT schedule_set('lost', '@yearly', 'SELECT pg_sleep(1)') > 0;
SELECT schedule_run_now('lost') AS run \gset
CALL until('EXISTS (SELECT FROM aside.schedule_runs WHERE schedule = ''lost'' AND state = ''running'')');
SELECT async_exec('SELECT pg_sleep(0.1); SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = $$pg_aside coordinator$$') AS task \gset
SELECT schedule_wait(:run, '120 s') AS ended, async_wait(:task);
SELECT state FROM aside.schedule_runs WHERE run = :run ORDER BY attempt DESC LIMIT 1;
-- who waits can be cancelled
SELECT schedule_set('hour', '@yearly', 'SELECT pg_sleep(3600)') > 0;
SELECT schedule_run_now('hour') AS run \gset
SET statement_timeout = '200 ms';
SELECT schedule_wait(:run);
RESET statement_timeout;
SELECT count(schedule_drop(name)) FROM aside.schedules;
DROP FUNCTION looks;
