-- Claim: a job that fails, or that is done but for some chunks, is told to whoever handles channel aside.failed and may act for its owner,
-- once and in the transaction that records it; a job that is done is told nobody.
CREATE ROLE regress_teller LOGIN IN ROLE aside_user;
CREATE TABLE job_alarms (told jsonb);
GRANT INSERT ON job_alarms TO regress_teller;
CREATE TABLE job_told (id int PRIMARY KEY, times int DEFAULT 0);
INSERT INTO job_told SELECT g FROM generate_series(1, 100) g;
SELECT async_event_on('aside.failed', command => 'INSERT INTO public.job_alarms VALUES ($1)', name => 'job alarms');
SET ROLE regress_teller;
SELECT async_event_on('aside.failed', command => 'INSERT INTO public.job_alarms VALUES (''"of another"'')', name => 'no alarms');
RESET ROLE;
SELECT parallel_start('well', 'UPDATE job_told SET times = 1 WHERE id BETWEEN $1 AND $2', 'job_told') > 0 AS well,
    parallel_start('one key', 'UPDATE job_told SET times = 1 / (id - 5) WHERE id BETWEEN $1 AND $2', 'job_told', max_attempts => 1) > 0 AS one_key,
    parallel_start('wrong', 'UPDATE job_told SET nothing = 1 WHERE id BETWEEN $1 AND $2', 'job_told', max_attempts => 1) > 0 AS wrong;
SELECT bool_and(parallel_wait(name, '60 s')) FROM unnest('{well,one key,wrong}'::text[]) name;
CALL until('(SELECT count(*) FROM job_alarms) >= 2');
SELECT told ->> 'kind' AS kind, told ->> 'job' AS job, told ->> 'state' AS state, told ->> 'chunks_failed' AS chunks_failed,
    told ->> 'sqlstate' AS sqlstate, told ->> 'message' AS message FROM job_alarms ORDER BY 2;
SELECT async_event_off(name) FROM unnest('{job alarms,no alarms}'::text[]) name;
SELECT parallel_drop(name) FROM unnest('{well,one key,wrong}'::text[]) name;
DROP TABLE job_told, job_alarms;
DROP ROLE regress_teller;
