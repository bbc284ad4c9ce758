-- Role: figures for monitoring, one row each, from shared memory and from small or indexed tables. What each is: docs/monitoring.md.

-- Whether the user sees what is not theirs.
CREATE FUNCTION aside.sees_all_stats() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')
        OR (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) current_user) $$;
COMMENT ON FUNCTION aside.sees_all_stats() IS 'Returns whether the user may read all statistics.';

CREATE VIEW aside.metrics WITH (security_barrier) AS
    WITH me AS MATERIALIZED (
        SELECT aside.sees_all_stats() AS sees_all
    ), handlers AS MATERIALIZED (
        SELECT pg_catalog.jsonb_build_object('handler', h.name, 'channel', h.channel) AS labels, h.channel, h.paused, h.concurrency, c.*
        FROM me, aside.event_handler h LEFT JOIN aside.handler_counts() c ON c.handler = h.id
        WHERE NOT h.inert AND (me.sees_all OR pg_catalog.pg_has_role(aside.definition_owner('handler', h.id, h.name), 'USAGE'))
    ), open_runs AS MATERIALIZED (
        SELECT r.schedule, count(*) FILTER (WHERE r.state = 'running') AS running, count(*) FILTER (WHERE r.state = 'waiting') AS waiting
        FROM aside.schedule_run r WHERE r.state IN ('waiting', 'running') GROUP BY r.schedule
    ), schedules AS MATERIALIZED (
        SELECT pg_catalog.jsonb_build_object('schedule', s.name, 'owner', s.owner) AS labels, s.paused, s.next_run_at, s.fired, s.missed, s.skipped,
            s.failed, s.failures, coalesce(r.running, 0) AS running, coalesce(r.waiting, 0) AS waiting,
            CASE WHEN r.running > 0 THEN 'running' WHEN r.waiting > 0 THEN 'waiting' WHEN s.paused THEN 'paused'
                WHEN s.next_run_at IS NULL AND s.rule <> 'reboot' AND s.rule NOT LIKE 'after %' THEN 'ended' ELSE 'scheduled' END AS state
        FROM me, aside.schedule s LEFT JOIN open_runs r ON r.schedule = s.id
        WHERE NOT s.inert AND (me.sees_all OR pg_catalog.pg_has_role(aside.definition_owner('schedule', s.id, s.name), 'USAGE'))
    ), jobs AS MATERIALIZED (
        SELECT pg_catalog.jsonb_build_object('job', j.name, 'owner', j.owner) AS labels, j.estimate, j.state, j.paused, j.created, j.finished,
            c.waiting, c.running, c.failed, c.all - c.waiting - c.running - c.failed - c.split AS done
        FROM me, aside.parallel_job j, LATERAL (
            -- By indexes. Chunks have the numbers from 1.
            SELECT coalesce((SELECT max(c.number) FROM aside.parallel_chunk c WHERE c.job = j.id), 0) AS all,
                (SELECT count(*) FROM aside.parallel_chunk c WHERE c.job = j.id AND c.state = 'waiting') AS waiting,
                (SELECT count(*) FROM aside.parallel_chunk c WHERE c.job = j.id AND c.state = 'running') AS running,
                (SELECT count(*) FROM aside.parallel_chunk c WHERE c.job = j.id AND c.state = 'failed') AS failed,
                (SELECT count(*) FROM aside.parallel_chunk c WHERE c.job = j.id AND c.state = 'split') AS split) c
        WHERE NOT j.inert AND (me.sees_all OR pg_catalog.pg_has_role(aside.definition_owner('job', j.id, j.name), 'USAGE'))
    )
    SELECT m.name, m.labels, m.value FROM (
        SELECT 'aside_info'::text AS name, pg_catalog.jsonb_build_object('version', e.extversion, 'preloaded', aside.is_preloaded()) AS labels,
            1::float8 AS value
        FROM pg_catalog.pg_extension e WHERE e.extname = 'pg_aside'
        UNION ALL
        SELECT 'aside_settings_problems', '{}', (SELECT count(*) FROM aside.settings_check())
        UNION ALL
        -- the pool
        SELECT 'aside_workers', pg_catalog.jsonb_build_object('state', s.state), count(w.state)
        FROM (VALUES ('starting'), ('idle'), ('busy'), ('session'), ('task'), ('leaving'), ('dead')) s (state)
            LEFT JOIN aside.worker_rows() w ON w.state = s.state
        GROUP BY s.state
        UNION ALL
        SELECT 'aside_workers_limit', '{}', pg_catalog.current_setting('aside.max_workers')::float8
        UNION ALL
        SELECT v.name, pg_catalog.jsonb_build_object('kind', s.kind), v.value
        FROM aside.stat_rows() s, LATERAL (VALUES ('aside_calls_total', s.calls::float8), ('aside_call_errors_total', s.errors),
            ('aside_call_cancelled_total', s.cancelled), ('aside_call_rows_total', s.rows), ('aside_call_waits_total', s.waits),
            ('aside_call_wait_seconds_total', s.wait_ms / 1000), ('aside_call_duration_seconds_sum', s.total_ms / 1000)) v (name, value)
        UNION ALL
        -- bucket n holds calls of less than 2^(n-1) microseconds, the last one all others
        SELECT v.name, v.labels, v.value
        FROM aside.stat_rows() s, LATERAL (
            SELECT 'aside_call_duration_seconds_bucket' AS name, pg_catalog.jsonb_build_object('kind', s.kind, 'le',
                    CASE WHEN b.n < pg_catalog.cardinality(s.histogram) THEN (2.0::float8 ^ (b.n - 1) / 1e6)::text ELSE '+Inf' END) AS labels,
                pg_catalog.sum(b.calls) OVER (ORDER BY b.n)::float8 AS value
            FROM pg_catalog.unnest(s.histogram) WITH ORDINALITY b (calls, n)
            UNION ALL
            SELECT 'aside_call_duration_seconds_count', pg_catalog.jsonb_build_object('kind', s.kind), pg_catalog.sum(b.calls)::float8
            FROM pg_catalog.unnest(s.histogram) b (calls)) v
        WHERE s.calls > 0
        UNION ALL
        -- tasks
        SELECT 'aside_tasks', pg_catalog.jsonb_build_object('state', t.state), t.tasks FROM aside.task_counts() t
        UNION ALL
        SELECT 'aside_task_queue_wait_seconds', '{}', coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - t.since), 0)
        FROM aside.task_counts() t WHERE t.state = 'queued'
        UNION ALL
        -- coordinators
        SELECT v.name, pg_catalog.jsonb_build_object('database', c.database) || v.labels, v.value
        FROM aside.coordinator_rows() c, LATERAL (VALUES ('aside_coordinator_up', '{}'::jsonb, (c.state IN ('running', 'failing'))::int::float8),
            ('aside_coordinator_failures', '{}', c.failures),
            ('aside_coordinator_state', pg_catalog.jsonb_build_object('state', c.state), 1),
            ('aside_coordinator_state_seconds', '{}', extract(epoch FROM pg_catalog.clock_timestamp() - c.since))) v (name, labels, value)
        WHERE c.state <> 'no extension'
        UNION ALL
        -- handlers of events
        SELECT v.name, h.labels || v.labels, v.value
        FROM handlers h, LATERAL (VALUES ('aside_handler_events', '{"state": "waiting"}'::jsonb, h.waiting::float8),
            ('aside_handler_events', '{"state": "delayed"}', h.delayed), ('aside_handler_events', '{"state": "retrying"}', h.retrying),
            ('aside_handler_events', '{"state": "running"}', h.running), ('aside_handler_events', '{"state": "dead"}', h.dead),
            ('aside_handler_events_partial', '{}', h.partial::int),
            ('aside_handler_lag_seconds', '{}', CASE WHEN h.handler IS NOT NULL
                THEN greatest(coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - h.oldest), 0), 0) END),
            ('aside_handler_workers', '{}', h.workers), ('aside_handler_workers_limit', '{}', h.concurrency),
            ('aside_handler_paused', '{}', h.paused::int), ('aside_handler_emitted_total', '{}', h.emitted), ('aside_handler_done_total', '{}', h.done),
            ('aside_handler_failed_total', '{}', h.failed), ('aside_handler_died_total', '{}', h.died),
            ('aside_handler_cancelled_total', '{}', h.cancelled), ('aside_handler_expired_total', '{}', h.expired),
            ('aside_handler_notifications_waiting', '{}', h.notes_waiting), ('aside_handler_notifications_done_total', '{}', h.notes_done),
            ('aside_handler_notifications_failed_total', '{}', h.notes_failed), ('aside_handler_notifications_dropped_total', '{}', h.notes_dropped),
            ('aside_handler_notifications_recorded_total', '{}', h.notes_recorded)) v (name, labels, value)
        UNION ALL
        SELECT v.name, pg_catalog.jsonb_build_object('channel', c.channel) || v.labels, v.value
        FROM (SELECT h.channel, count(*) AS handlers, pg_catalog.sum(h.waiting + h.retrying) AS waiting, pg_catalog.sum(h.delayed) AS delayed,
                pg_catalog.sum(h.running) AS running, pg_catalog.sum(h.dead) AS dead, pg_catalog.max(h.emitted) AS emitted
              FROM handlers h GROUP BY h.channel) c, LATERAL (VALUES ('aside_channel_handlers', '{}'::jsonb, c.handlers::float8),
            ('aside_channel_events', '{"state": "waiting"}', c.waiting), ('aside_channel_events', '{"state": "delayed"}', c.delayed),
            ('aside_channel_events', '{"state": "running"}', c.running), ('aside_channel_events', '{"state": "dead"}', c.dead),
            ('aside_channel_emitted_total', '{}', c.emitted)) v (name, labels, value)
        UNION ALL
        SELECT 'aside_notification_queue_usage_ratio', '{}', pg_catalog.pg_notification_queue_usage()
        UNION ALL
        -- schedules
        SELECT 'aside_schedules', pg_catalog.jsonb_build_object('state', t.state), (SELECT count(*) FROM schedules s WHERE s.state = t.state)
        FROM (VALUES ('scheduled'), ('waiting'), ('running'), ('paused'), ('ended')) t (state)
        UNION ALL
        SELECT 'aside_schedules_late', '{}', (SELECT count(*) FROM schedules s WHERE s.state = 'scheduled' AND s.next_run_at < pg_catalog.clock_timestamp() - interval '5 s')
        UNION ALL
        SELECT v.name, s.labels, v.value
        FROM schedules s, LATERAL (VALUES ('aside_schedule_next_run_timestamp_seconds', CASE WHEN NOT s.paused AND pg_catalog.isfinite(s.next_run_at) THEN extract(epoch FROM s.next_run_at)::float8 END),
            ('aside_schedule_runs_running', s.running), ('aside_schedule_runs_waiting', s.waiting), ('aside_schedule_paused', s.paused::int),
            ('aside_schedule_fired_total', s.fired), ('aside_schedule_skipped_total', s.skipped), ('aside_schedule_missed_total', s.missed),
            ('aside_schedule_failed_total', s.failed), ('aside_schedule_consecutive_failures', s.failures)) v (name, value)
        UNION ALL
        -- jobs in chunks
        SELECT v.name, j.labels || v.labels, v.value
        FROM jobs j, LATERAL (VALUES ('aside_job_state', pg_catalog.jsonb_build_object('state',
                CASE WHEN j.state = 'running' AND j.paused THEN 'paused' ELSE j.state END), 1::float8),
            ('aside_job_chunks', '{"state": "waiting"}', j.waiting), ('aside_job_chunks', '{"state": "running"}', j.running),
            ('aside_job_chunks', '{"state": "done"}', j.done), ('aside_job_chunks', '{"state": "failed"}', j.failed),
            ('aside_job_chunks_per_second', '{}', j.done / nullif(extract(epoch FROM coalesce(j.finished, pg_catalog.clock_timestamp()) - j.created), 0)),
            ('aside_job_rows_estimated', '{}', j.estimate)) v (name, labels, value)
        UNION ALL
        -- what is on disk, with its indexes
        SELECT 'aside_table_bytes', pg_catalog.jsonb_build_object('table', c.relname), pg_catalog.pg_total_relation_size(c.oid)
        FROM pg_catalog.pg_class c WHERE c.relnamespace = 'aside'::regnamespace AND c.relkind = 'r'
    ) m WHERE m.value IS NOT NULL;
COMMENT ON VIEW aside.metrics IS
    'Figures for monitoring, with names as Prometheus has them, from shared memory and small reads. Those of handlers, schedules and jobs that the user may act for, or of all for members of pg_read_all_stats. What does not exist, or is not known, has no row.';
COMMENT ON COLUMN aside.metrics.name IS 'Name of the figure. It ends in _total if it only grows, and otherwise in its unit, if it has one.';
COMMENT ON COLUMN aside.metrics.labels IS 'What it is the figure of.';
COMMENT ON COLUMN aside.metrics.value IS 'The figure.';

GRANT EXECUTE ON FUNCTION aside.sees_all_stats() TO aside_user;
GRANT SELECT ON aside.metrics TO aside_user;
-- Whoever monitors the server needs nothing else of pg_aside.
GRANT USAGE ON SCHEMA aside TO pg_read_all_stats;
GRANT SELECT ON aside.metrics, aside.event_stats, aside.coordinators, aside.workers, aside.stat TO pg_read_all_stats;
GRANT EXECUTE ON FUNCTION
    aside.sees_all_stats(), aside.is_preloaded(), aside.settings_check(), aside.has_definitions(), aside.worker_rows(), aside.stat_rows(), aside.task_counts(),
    aside.coordinator_rows(), aside.handler_counts(), aside.event_counts(), aside.definition_owner(text, bigint, text)
TO pg_read_all_stats;
