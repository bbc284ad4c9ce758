-- Claim: the examples of docs/first-steps.md do what it says.
\set QUIET on
\pset tuples_only on
\o /dev/null
SELECT * FROM aside.settings_check();      -- no rows: the settings fit
CREATE TABLE audit (at timestamptz DEFAULT now(), what text);
BEGIN;
SELECT autonomous_exec('INSERT INTO audit (what) VALUES ($1)', 'somebody tried');
ROLLBACK;
SELECT what FROM audit;
\o
SELECT what FROM audit;
\o /dev/null
SELECT async_exec('SELECT count(*) FROM generate_series(1, $1)', 100000) AS task \gset
SELECT * FROM async_result(:task) AS r(n bigint);
\o
SELECT * FROM async_result(:task) AS r(n bigint);
\o /dev/null
CREATE TABLE mail (receiver text, sent timestamptz DEFAULT now());
CREATE FUNCTION send_mail(e aside.event) RETURNS void LANGUAGE sql AS $$
    INSERT INTO mail (receiver) VALUES (e.payload ->> 'to') $$;
SELECT async_event_on('order', 'send_mail(aside.event)', max_attempts => 5);
SELECT async_event_emit('order', '{"to": "alice"}');
SELECT receiver FROM mail;                 -- a moment later
SELECT handler, attempt, state, message FROM aside.event_runs;
\o
CALL until('EXISTS (SELECT FROM mail)');
SELECT receiver FROM mail;
\o /dev/null
SELECT schedule_set('nightly', '30 4 * * *', 'VACUUM ANALYZE', timezone => 'Europe/Berlin');
SELECT name, next_run_at FROM aside.schedules;
\o
SELECT name, next_run_at > now() AND next_run_at < now() + interval '26 hours' FROM aside.schedules WHERE name = 'nightly';
CREATE ROLE app LOGIN;
GRANT aside_user TO app;
SET ROLE app;
SELECT autonomous_exec('SELECT 1');
RESET ROLE;
SELECT async_event_off('order'), schedule_drop('nightly');
DROP TABLE mail, audit;
DROP FUNCTION send_mail(aside.event);
DROP ROLE app;
