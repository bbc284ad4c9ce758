-- Claim: aside.metrics shows what the other views show, each figure once, to those who may see it; and however many events wait, it
-- reads few pages.
\set VERBOSITY terse
CREATE FUNCTION pages(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ' || query INTO plan;
    RETURN (plan -> 0 -> 'Plan' ->> 'Shared Hit Blocks')::bigint + (plan -> 0 -> 'Plan' ->> 'Shared Read Blocks')::bigint;
END $$;
-- of one handler, schedule or job
CREATE FUNCTION figures(kind text, which text) RETURNS TABLE (name text, state text, value float8) LANGUAGE sql AS $$
    SELECT name, labels ->> 'state', value FROM aside.metrics WHERE labels ->> kind = which ORDER BY 1, 2 $$;
CREATE ROLE regress_metrics_owner LOGIN IN ROLE aside_user;
CREATE ROLE regress_metrics_other IN ROLE aside_user;
CREATE ROLE regress_metrics_monitor IN ROLE pg_monitor;
CREATE ROLE regress_metrics_nobody;
SET ROLE regress_metrics_owner;
SELECT async_event_on('metrics', command => 'SELECT 1 / ($1::text::int)', name => 'metrics', max_attempts => 1, concurrency => 2);
SELECT async_event_on('metrics', command => 'SELECT 1', name => 'metrics paused');
SELECT async_event_pause('metrics paused');
SELECT schedule_set('metrics', 'every 1 day', 'SELECT 1') > 0 AS set;
SELECT schedule_set('metrics fails', 'every 1 day', 'SELECT 1 / 0') > 0 AS set;
SELECT schedule_run_now('metrics fails') AS run \gset
SELECT schedule_wait(:run, '1 min');
RESET ROLE;
CREATE TABLE metrics_rows AS SELECT g AS id FROM generate_series(1, 10) g;
ALTER TABLE metrics_rows ADD PRIMARY KEY (id);
ANALYZE metrics_rows;
GRANT SELECT ON metrics_rows TO regress_metrics_owner;
SET ROLE regress_metrics_owner;
SELECT parallel_start('metrics', 'SELECT count(*) FROM metrics_rows WHERE id BETWEEN $1 AND $2 AND 1 / (id - 7) > 5', 'metrics_rows', chunk_rows => 5, max_attempts => 1) > 0 AS started;
SELECT count(async_event_emit('metrics', to_jsonb(g))) FROM generate_series(0, 3) g;
SELECT count(async_event_emit('metrics', '1', delay => '1 day')) FROM generate_series(1, 2);
RESET ROLE;
CALL until($$(SELECT sum(value) = 3 + 1 + 2 * 6 FROM aside.metrics WHERE name IN ('aside_handler_done_total', 'aside_handler_died_total', 'aside_handler_emitted_total')
    AND labels ->> 'channel' = 'metrics')$$);
CALL until($$(SELECT sum(value) = 0 FROM aside.metrics WHERE name = 'aside_handler_workers' AND labels ->> 'channel' = 'metrics')$$);
CALL until($$(SELECT sum(value) = 4 FROM aside.metrics WHERE name = 'aside_handler_events' AND labels ->> 'handler' = 'metrics paused' AND labels ->> 'state' = 'waiting')$$);
CALL until($$(SELECT state = 'done_with_errors' FROM aside.parallel_jobs WHERE name = 'metrics')$$);
SELECT * FROM figures('handler', 'metrics') WHERE name <> 'aside_handler_lag_seconds';
SELECT * FROM figures('handler', 'metrics paused') WHERE name IN ('aside_handler_events', 'aside_handler_paused', 'aside_handler_emitted_total');
SELECT value > 0 AS lags FROM figures('handler', 'metrics paused') WHERE name = 'aside_handler_lag_seconds';
SELECT * FROM figures('channel', 'metrics') WHERE name LIKE 'aside_channel%';
SELECT name, state, CASE name WHEN 'aside_schedule_next_run_timestamp_seconds' THEN (to_timestamp(value) > now())::int ELSE value END AS value FROM figures('schedule', 'metrics');
SELECT * FROM figures('schedule', 'metrics fails') WHERE name LIKE '%fail%';
-- chunks: what the view of the job counts
SELECT f.state, f.value = CASE f.state WHEN 'done' THEN j.chunks_done WHEN 'failed' THEN j.chunks_failed WHEN 'running' THEN j.chunks_running ELSE j.chunks_waiting END AS as_counted,
    f.value > 0 AS some
FROM figures('job', 'metrics') f, aside.parallel_jobs j WHERE f.name = 'aside_job_chunks' AND j.name = 'metrics' ORDER BY 1;
SELECT state FROM figures('job', 'metrics') WHERE name = 'aside_job_state';
-- each once
SELECT name, labels FROM aside.metrics GROUP BY name, labels HAVING count(*) > 1;
SELECT count(*) FROM aside.metrics WHERE value = 'NaN' OR value IN ('Infinity', '-Infinity') OR jsonb_typeof(labels) <> 'object';
-- those of the server
SELECT labels ->> 'state' AS state, value >= 0 AS there FROM aside.metrics WHERE name = 'aside_workers' ORDER BY 1;
SELECT sum(value) = (SELECT count(*) FROM aside.workers) AS all_workers FROM aside.metrics WHERE name = 'aside_workers';
SELECT value = (SELECT calls FROM aside.stat WHERE kind = 'exec') AS calls FROM aside.metrics WHERE name = 'aside_calls_total' AND labels ->> 'kind' = 'exec';
SELECT count(autonomous_exec('SELECT 1'));
SELECT bool_and(b.value <= c.value) AS at_most_all, bool_or(b.value = c.value AND b.labels ->> 'le' = '+Inf') AS all_at_last, count(*) = 24 AS buckets
FROM aside.metrics b, aside.metrics c WHERE b.name = 'aside_call_duration_seconds_bucket' AND c.name = 'aside_call_duration_seconds_count'
    AND b.labels ->> 'kind' = 'exec' AND c.labels ->> 'kind' = 'exec';
SELECT value FROM aside.metrics WHERE name = 'aside_coordinator_up' AND labels ->> 'database' = current_database();
SELECT value > 0 AS sized FROM aside.metrics WHERE name = 'aside_table_bytes' AND labels ->> 'table' = 'event_0';
-- who sees what
CREATE FUNCTION seen() RETURNS TABLE (handlers bigint, schedules bigint, jobs bigint, pool boolean) LANGUAGE sql AS $$
    SELECT count(DISTINCT labels ->> 'handler') FILTER (WHERE labels ->> 'channel' = 'metrics'), count(DISTINCT labels ->> 'schedule') FILTER (WHERE labels ->> 'schedule' LIKE 'metrics%'),
        count(DISTINCT labels ->> 'job') FILTER (WHERE labels ->> 'job' LIKE 'metrics%'), bool_or(name = 'aside_workers') FROM aside.metrics $$;
SELECT * FROM seen();
SET ROLE regress_metrics_owner;
SELECT * FROM seen();
SET ROLE regress_metrics_other;
SELECT * FROM seen();
SELECT count(*) > 0 AS problems FROM aside.settings_check() WHERE setting = 'shared_preload_libraries';
SET ROLE regress_metrics_monitor;
SELECT * FROM seen();
SELECT count(*) FROM aside.event_stats WHERE channel = 'metrics';
SET ROLE regress_metrics_nobody;
SELECT count(*) FROM aside.metrics;
RESET ROLE;
-- many wait
SELECT async_event_pause('metrics');
SELECT count(async_event_emit('metrics', to_jsonb(g))) FROM generate_series(1, 30000) g;
CALL until($$(SELECT sum(value) >= 60000 FROM aside.metrics WHERE name = 'aside_channel_events' AND labels = '{"channel": "metrics", "state": "waiting"}')$$);
SELECT pages('SELECT * FROM aside.metrics') < 1000 AS few, (SELECT sum(pg_relation_size(format('aside.event_%s', n))) / 8192 > 300 FROM generate_series(0, 2) n) AS many;
SELECT async_event_off('metrics'), async_event_off('metrics paused'), schedule_drop('metrics'), schedule_drop('metrics fails'), parallel_drop('metrics');
DROP TABLE metrics_rows;
DROP FUNCTION pages, figures, seen;
DROP ROLE regress_metrics_owner, regress_metrics_other, regress_metrics_monitor, regress_metrics_nobody;
