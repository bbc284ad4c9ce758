-- Claim: schema cron is as pg_cron's users know it: jobs are scheduled, altered and dropped, run and leave details; rows of
-- a restored cron.job are jobs.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION aside_cron;
CREATE ROLE regress_cron LOGIN;
GRANT aside_user TO regress_cron;
CREATE TABLE cron_told (n serial, what text);
SELECT cron.schedule('0 4 * * *', 'VACUUM') AS first \gset
SELECT cron.schedule('by the second', '1 seconds', 'INSERT INTO cron_told (what) VALUES (''told'')') - :first AS next;
SELECT cron.schedule('last day', '0 12 $ * *', 'SELECT 1') - :first AS next;
SELECT cron.schedule_in_database('elsewhere', '@hourly', 'SELECT 1', 'postgres') - :first AS next;
SELECT jobid - :first AS job, schedule, command, nodename, database = current_database() AS here, username = current_user AS mine, active, jobname
    FROM cron.job ORDER BY jobid;
CALL until('(SELECT count(*) FROM cron_told) >= 2');
SELECT DISTINCT status, return_message FROM cron.job_run_details WHERE end_time IS NOT NULL;
-- of the same name: the same job, changed
SELECT cron.schedule('last day', '0 13 $ * *', 'SELECT 2') - :first AS job;
SELECT cron.alter_job(:first, schedule => '5 4 * * 1-5', command => 'ANALYZE', active => false);
SELECT jobid - :first AS job, schedule, command, active FROM cron.job WHERE jobname IS NULL OR jobname = 'last day' ORDER BY jobid;
UPDATE cron.job SET active = true WHERE NOT active;
SELECT timezone, overlap, misfire, count(*) FROM aside.schedules GROUP BY 1, 2, 3;
-- rows of a dump
COPY cron.job (jobid, schedule, command, nodename, nodeport, database, username, active, jobname) FROM stdin;
4711	*/5 * * * *	SELECT 1	localhost	5432	postgres	regress_cron	t	restored
4712	30 seconds	SELECT 2	localhost	5432	postgres	regress_cron	f	\N
\.
SELECT jobid, schedule, command, username, active, jobname FROM cron.job WHERE jobid > 4000 ORDER BY jobid;
SELECT cron.schedule('@daily', 'SELECT 1') AS after_them;
-- what is refused
SELECT cron.schedule('60 * * * *', 'SELECT 1');
SELECT cron.schedule('none', '@daily', 'SELECT 1'), cron.unschedule('nobody');
SELECT cron.unschedule(-1);
SELECT cron.alter_job(-1, active => false);
INSERT INTO cron.job (schedule, command, nodename) VALUES ('@daily', 'SELECT 1', 'elsewhere.example');
-- roles
SELECT cron.schedule_in_database('theirs', '@daily', 'SELECT 1', current_database()::text, 'regress_cron') > 0 AS scheduled, current_user = session_user AS same;
SET ROLE regress_cron;
SELECT jobname, username FROM cron.job ORDER BY jobid;
SELECT cron.unschedule(:first);
SELECT cron.schedule_in_database('not mine', '@daily', 'SELECT 1', current_database()::text, session_user::text);
SELECT cron.unschedule('theirs');
-- nobody's jobs or history are in another's hands: neither by a number, nor by a function of triggers on a table of one's own
INSERT INTO cron.job (jobid, schedule, command) VALUES (9223372036854775807, '@daily', 'SELECT 1');
UPDATE cron.job SET jobid = 1 WHERE jobname = 'restored';
SELECT setval('cron.jobid_seq', 9223372036854775807);
CREATE TEMP TABLE own (runid bigint);
CREATE TRIGGER forget BEFORE DELETE ON own FOR EACH ROW EXECUTE FUNCTION cron.forget_run();
DROP TABLE own;
RESET ROLE;
-- what it is made of is not looked for in the caller's search_path
CREATE SCHEMA trap;
CREATE FUNCTION trap.joined(text, bigint) RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''trapped''; END';
CREATE OPERATOR trap.|| (LEFTARG = text, RIGHTARG = bigint, FUNCTION = trap.joined);
SET search_path = trap, public;
SELECT cron.schedule('@daily', 'SELECT 1') > 0 AS scheduled;
RESET search_path;
DROP SCHEMA trap CASCADE;
-- pg_cron's other name of @reboot
SELECT cron.schedule('restarted', '@restart', 'SELECT 1') > 0 AS scheduled;
SELECT schedule FROM cron.job WHERE jobname = 'restarted';
DELETE FROM cron.job_run_details;
SELECT cron.unschedule('by the second');
DELETE FROM cron.job;
SELECT count(*) FROM cron.job;
SELECT count(*) FROM aside.schedules;
DROP EXTENSION aside_cron;
DROP OWNED BY regress_cron;
DROP ROLE regress_cron;
DROP TABLE cron_told;
