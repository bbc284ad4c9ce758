-- Role: the same for pg_cron, which has a cluster of its own: its jobs are due at each full minute.
-- Called by: bench/run, where pg_cron is at hand, as: psql -v n=JOBS. Writes the milliseconds from the minute to the last start.
CREATE EXTENSION IF NOT EXISTS pg_cron;
SET client_min_messages = warning;
-- Jobs that are made early enough are all known when the minute comes.
SELECT pg_sleep(CASE WHEN s > 45 THEN 61 - s ELSE 0 END) FROM extract(second FROM clock_timestamp()) s \g /dev/null
SELECT count(cron.schedule('job ' || i, '* * * * *', 'SELECT 1')) FROM generate_series(1, :n) i \g /dev/null
SELECT date_trunc('minute', clock_timestamp()) + interval '1 minute' AS minute \gset
SELECT set_config('bench.minute', :'minute', false), set_config('bench.n', :'n', false) \g /dev/null
DO $$
BEGIN
    WHILE (SELECT count(DISTINCT jobid) FROM cron.job_run_details WHERE start_time IS NOT NULL) < current_setting('bench.n')::int
        AND clock_timestamp() < current_setting('bench.minute')::timestamptz + interval '58 s' LOOP
        COMMIT;
        PERFORM pg_sleep(0.05);
    END LOOP;
    UPDATE cron.job SET active = false;
END $$;
SELECT extract(epoch FROM max(started) - :'minute'::timestamptz) * 1000, count(*) < :n
    FROM (SELECT min(start_time) AS started FROM cron.job_run_details WHERE start_time >= :'minute' GROUP BY jobid) s;
SELECT count(cron.unschedule(jobid)) FROM cron.job \g /dev/null
