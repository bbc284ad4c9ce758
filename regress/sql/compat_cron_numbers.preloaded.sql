-- Claim: of cron's jobs, one that is not the only one of its number or name is neither made nor changed by chance; who may not have
-- jobs is told why.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION aside_cron;
CREATE ROLE regress_cron_a LOGIN;
CREATE ROLE regress_cron_b LOGIN;
CREATE ROLE regress_cron_none LOGIN;
GRANT aside_user TO regress_cron_a, regress_cron_b;
INSERT INTO cron.job (jobid, schedule, command, username, jobname) VALUES (5001, '@daily', 'SELECT 1', 'regress_cron_a', 'one');
INSERT INTO cron.job (jobid, schedule, command, username, jobname) VALUES (5001, '@daily', 'SELECT 2', 'regress_cron_b', 'two');
INSERT INTO cron.job (schedule, command, username, jobname) VALUES ('@daily', 'SELECT 3', 'regress_cron_a', 'one');
INSERT INTO cron.job (jobid, schedule, command, username, jobname) VALUES (5002, '@daily', 'SELECT 4', 'regress_cron_a', 'other');
UPDATE cron.job SET jobid = 5001 WHERE jobid = 5002;
UPDATE cron.job SET jobname = 'one' WHERE jobid = 5002;
SELECT cron.alter_job(5002);
-- a schedule that looks like a job of another role
SET ROLE regress_cron_b;
SELECT schedule_set('cron 5001 forged', '@daily', 'SELECT 5') > 0;
SELECT cron.alter_job(5001, command => 'SELECT 6');
SELECT cron.alter_job(5001, username => 'regress_cron_a');
RESET ROLE;
SELECT jobid, username, command FROM cron.job ORDER BY jobid, username;
SELECT cron.unschedule(5001);
SELECT cron.alter_job(5001, command => 'SELECT 7');
SET ROLE regress_cron_a;
SELECT cron.alter_job(5001, command => 'SELECT 8');
SELECT cron.unschedule(5001);
RESET ROLE;
SELECT jobid, username, command FROM cron.job ORDER BY jobid, username;
SELECT cron.unschedule(5001);
-- who is no member of aside_user
SELECT cron.schedule_in_database('none', '@daily', 'SELECT 1', current_database()::text, 'regress_cron_none');
SELECT cron.schedule_in_database('none', '@daily', 'SELECT 1', current_database()::text, 'regress_cron_nobody');
SET ROLE regress_cron_none;
SELECT cron.schedule_in_database('none', '@daily', 'SELECT 1', current_database()::text);
RESET ROLE;
SELECT count(cron.unschedule(jobid)) FROM cron.job;
DROP EXTENSION aside_cron;
DROP OWNED BY regress_cron_a, regress_cron_b;
DROP ROLE regress_cron_a, regress_cron_b, regress_cron_none;
