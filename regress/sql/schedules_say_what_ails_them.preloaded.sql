-- Claim: a schedule that cannot run says why: its owner may not, or the server no longer knows its time zone or no longer reads its
-- specification. The others go on. It goes on, too, when the cause is mended.
\set SHOW_CONTEXT never
SELECT schedule_set('zone', '@daily', 'SELECT 1', timezone => 'Europe/Berlin') > 0;
SELECT schedule_set('rule', '@daily', 'SELECT 1') > 0;
SELECT schedule_set('word', '@daily', 'SELECT 1') > 0;
SELECT schedule_set('well', '* * * * * *', 'SELECT 1') > 0;
-- as if the server had been upgraded
UPDATE aside.schedule SET timezone = 'Mars/Olympus', revision = revision + 1, next_due = now(), next_run_at = now() WHERE name = 'zone';
UPDATE aside.schedule SET rule = 'cron 61 * * * *', revision = revision + 1, next_due = now(), next_run_at = now() WHERE name = 'rule';
UPDATE aside.schedule SET rule = 'sometimes', revision = revision + 1, next_due = now(), next_run_at = now() WHERE name = 'word';
SELECT name, reason FROM aside.schedules ORDER BY name;
SELECT clock_timestamp() AS since \gset
CALL until(format('EXISTS (SELECT FROM aside.schedule_runs WHERE schedule = %L AND state = %L AND due > %L)', 'well', 'done', :'since'));
SELECT DISTINCT schedule FROM aside.schedule_runs;
-- set anew, it is well again
SELECT schedule_set('zone', '* * * * * *', 'SELECT 1', timezone => 'Europe/Berlin', max_runs => 1) > 0;
CALL until('EXISTS (SELECT FROM aside.schedule_runs WHERE schedule = ''zone'' AND state = ''done'')');
SELECT count(schedule_drop(name)) FROM aside.schedules;
-- its owner may not use pg_aside, or has expired, or may not connect: a run waits
CREATE ROLE regress_ailing LOGIN;
GRANT aside_user TO regress_ailing;
SET ROLE regress_ailing;
SELECT schedule_set('ails', '@yearly', 'SELECT 1') > 0;
RESET ROLE;
CREATE PROCEDURE ails(cause text, cure text) LANGUAGE plpgsql AS $$
DECLARE
    this bigint;
    why text;
BEGIN
    EXECUTE cause;
    this := schedule_run_now('ails');
    SELECT reason INTO why FROM aside.schedules WHERE name = 'ails';
    COMMIT;
    RAISE INFO '%', why;
    IF schedule_wait(this, '300 ms') THEN RAISE INFO 'it ran all the same'; END IF;
    EXECUTE cure;
    COMMIT;
    IF NOT schedule_wait(this, '60 s') THEN RAISE INFO 'it does not go on'; END IF;
    COMMIT;
    RAISE INFO '%', (SELECT state FROM aside.schedule_runs r WHERE r.run = this);
END $$;
CALL ails('REVOKE aside_user FROM regress_ailing', 'GRANT aside_user TO regress_ailing');
CALL ails('ALTER ROLE regress_ailing VALID UNTIL ''2000-01-01''', 'ALTER ROLE regress_ailing VALID UNTIL ''infinity''');
SELECT format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC', current_database()) AS cause,
    format('GRANT CONNECT ON DATABASE %I TO PUBLIC', current_database()) AS cure \gset
CALL ails(:'cause', :'cure');
DROP OWNED BY regress_ailing;
DROP ROLE regress_ailing;
DROP PROCEDURE ails;
