-- Role: the views of events that users read. Each shows a user what the roles that it may act for have.

CREATE VIEW aside.handlers AS
    SELECT h.name, h.channel, coalesce(pg_catalog.pg_get_userbyid(h.role), h.owner) AS owner, h.handler,
        CASE WHEN pg_catalog.pg_has_role(h.role, 'USAGE') OR (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) current_user)
             THEN h.command END AS command, h.concurrency, h.batch_size,
        h.max_attempts, h.backoff, h.backoff_cap, h.timeout, h.ordered, h.durable, h.paused, h.created,
        CASE WHEN h.command IS NOT NULL THEN NULL
             ELSE EXISTS (SELECT FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
                 WHERE p.prokind = 'f' AND p.pronargs = 1 AND p.proargtypes[0] OPERATOR(pg_catalog.=) CASE h.form WHEN 'e' THEN 'aside.event'::regtype
                     WHEN 'a' THEN 'aside.event[]'::regtype WHEN 'j' THEN 'jsonb'::regtype ELSE 'text'::regtype END
                 AND pg_catalog.strpos(h.handler, pg_catalog.format('%I.%I(', n.nspname, p.proname)) = 1) END AS exists,
        CASE WHEN h.inert THEN pg_catalog.format('its owner, role "%s", was lost in a restore: it belongs to nobody', h.owner)
             ELSE aside.definition_obstacle(h.role) END AS reason
    FROM aside.event_handlers h;
CREATE VIEW aside.events WITH (security_barrier) AS
    SELECT s.id, s.channel, s.payload, s.key, s.priority, s.run_at, s.unique_key, s.headers, s.emitted,
        pg_catalog.pg_get_userbyid(s.emitted_by) AS emitted_by, s.handler, s.state, s.attempts, s.next_at,
        CASE WHEN a.may THEN s.sqlstate END AS sqlstate, CASE WHEN a.may THEN s.message END AS message, s.changed
    FROM aside.event_states s, LATERAL (SELECT pg_catalog.pg_has_role(s.handler_owner, 'USAGE')
        OR (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = current_user) AS may) a
    WHERE pg_catalog.pg_has_role(s.emitted_by, 'USAGE') OR pg_catalog.pg_has_role(s.handler_owner, 'USAGE')
        OR (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = current_user);
CREATE VIEW aside.dead_events WITH (security_barrier) AS
    SELECT d.id, d.name AS handler, d.channel, d.payload, d.key, d.priority, d.headers, d.emitted,
        d.emitted_by::name AS emitted_by, d.attempts, d.sqlstate, d.message, d.detail, d.hint, d.context, d.died,
        coalesce(d.errors, d.logged) AS errors
    FROM (SELECT d.*, r.errors AS logged
          FROM (SELECT d.*, h.name, h.role FROM aside.event_dead d JOIN aside.event_handlers h ON h.id = d.handler) d
              FULL JOIN aside.event_errors r ON r.event = d.id AND r.handler = d.handler
          OFFSET 0) d
    WHERE d.id IS NOT NULL AND (pg_catalog.pg_has_role(d.role, 'USAGE') OR (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = current_user));
CREATE VIEW aside.event_runs WITH (security_barrier) AS
    SELECT l.event, h.name AS handler, l.attempt, max(l.at) FILTER (WHERE l.kind = 'a') AS started,
        max(l.at) FILTER (WHERE l.kind NOT IN ('a', 'w')) AS finished,
        coalesce(max(CASE l.kind WHEN 'd' THEN 'done' WHEN 'f' THEN 'failed' WHEN 'x' THEN 'dead' WHEN 'c' THEN 'cancelled' END), 'running') AS state,
        max(l.sqlstate) AS sqlstate, max(l.message) AS message, max(l.detail) AS detail, max(l.hint) AS hint, max(l.context) AS context,
        max(l.next_at) AS next_at
    FROM aside.event_log l JOIN aside.event_handlers h ON h.id = l.handler
    WHERE pg_catalog.pg_has_role(h.role, 'USAGE') OR (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = current_user)
    GROUP BY l.event, h.name, l.attempt, CASE WHEN l.attempt IS NULL THEN l.at END
    HAVING count(*) FILTER (WHERE l.kind <> 'w') > count(*) FILTER (WHERE l.kind = 'w');

-- Each table is gone through once, whatever the number of handlers.
CREATE VIEW aside.event_stats WITH (security_barrier) AS
    WITH w AS MATERIALIZED (
        SELECT clock_timestamp() - interval '1 minute' AS since,
            greatest(1, least(60, extract(epoch FROM clock_timestamp() - min(e.emitted)))) AS seconds FROM aside.event_rows e
    ), states AS MATERIALIZED (
        SELECT s.handler_id,
            count(*) FILTER (WHERE s.state = 'waiting') AS waiting, count(*) FILTER (WHERE s.state = 'delayed') AS delayed,
            count(*) FILTER (WHERE s.state = 'retrying') AS retrying, count(*) FILTER (WHERE s.state = 'running') AS running,
            count(*) FILTER (WHERE s.state = 'done') AS done,
            min(greatest(s.run_at, s.emitted)) FILTER (WHERE s.state IN ('waiting', 'retrying', 'running')) AS oldest,
            count(*) FILTER (WHERE s.emitted > w.since) AS emitted, count(*) FILTER (WHERE s.state = 'done' AND s.changed > w.since) AS done_lately
        FROM aside.event_states s, w GROUP BY s.handler_id
    ), dead AS MATERIALIZED (
        SELECT d.handler, count(*) AS dead FROM aside.event_dead d GROUP BY d.handler
    ), failed AS MATERIALIZED (
        -- An event that was carried over has its log in two partitions.
        SELECT o.handler, o.sqlstate, count(*) AS failed, count(*) FILTER (WHERE o.at > w.since) AS lately
        FROM (SELECT DISTINCT l.handler, l.event, l.at, l.sqlstate FROM aside.event_log l WHERE l.sqlstate IS NOT NULL) o, w
        GROUP BY o.handler, o.sqlstate
    ), notified AS MATERIALIZED (
        SELECT * FROM aside.notification_rows()
    ), failures AS MATERIALIZED (
        SELECT e.handler, pg_catalog.jsonb_object_agg(e.sqlstate, e.failed) AS failures, sum(e.lately) AS lately
        FROM (SELECT f.handler, f.sqlstate, sum(f.failed)::bigint AS failed, sum(f.lately) AS lately
              FROM (SELECT * FROM failed UNION ALL
                    SELECT n.handler, j.key, j.value::bigint, 0 FROM notified n, pg_catalog.jsonb_each_text(n.failures) j) f
              GROUP BY f.handler, f.sqlstate) e
        GROUP BY e.handler
    )
    SELECT h.name AS handler, h.channel,
        coalesce(s.waiting, 0) AS waiting, coalesce(s.delayed, 0) AS delayed, coalesce(s.retrying, 0) AS retrying,
        coalesce(s.running, 0) AS running, coalesce(s.done, 0) AS done, coalesce(d.dead, 0) AS dead,
        clock_timestamp() - s.oldest AS lag, f.failures,
        n.waiting AS notifications_waiting, n.done AS notifications_done, n.failed AS notifications_failed,
        n.dropped AS notifications_dropped, n.recorded AS notifications_recorded,
        (SELECT c.state FROM aside.coordinator_rows() c WHERE c.database = current_database()) AS coordinator,
        pg_catalog.pg_notification_queue_usage() AS notification_queue_usage,
        pg_catalog.round(coalesce(s.emitted, 0)::numeric / w.seconds, 1) AS emitted_per_second,
        pg_catalog.round(coalesce(s.done_lately, 0)::numeric / w.seconds, 1) AS done_per_second,
        pg_catalog.round(coalesce(f.lately, 0)::numeric / w.seconds, 1) AS failures_per_second
    FROM w CROSS JOIN aside.event_handlers h LEFT JOIN states s ON s.handler_id = h.id LEFT JOIN dead d ON d.handler = h.id
        LEFT JOIN failures f ON f.handler = h.id LEFT JOIN notified n ON n.handler = h.id
    WHERE pg_catalog.pg_has_role(h.role, 'USAGE') OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')
        OR (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = current_user);

COMMENT ON VIEW aside.handlers IS
    'Handlers of events and notifications. Column exists: true if the handler''s function exists. Column reason: why the handler cannot run now, or NULL if it can.';
COMMENT ON VIEW aside.events IS 'Events, each with its state for each handler: waiting, delayed, running, retrying, done, dead, or cancelled. An event is shown until its partition is emptied.';
COMMENT ON VIEW aside.dead_events IS 'Events that a handler failed to handle in all of its attempts. async_event_redrive emits them again.';
COMMENT ON VIEW aside.event_runs IS
    'Attempts to handle events, shown until the event''s partition is emptied. The attempt is NULL if it does not count, as after a serialization failure.';
COMMENT ON VIEW aside.event_stats IS
    'For each handler: the number of events in each state, how long the oldest due event has waited, and failures by SQLSTATE. Also counts of notifications since the coordinator started, the coordinator''s state, and rates over the last minute, or since the oldest event in the tables.';

GRANT SELECT ON aside.handlers, aside.events, aside.dead_events, aside.event_runs, aside.event_stats TO aside_user;
