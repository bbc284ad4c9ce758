-- Role: the views of events that users read. Each shows a user what the roles that it may act for have.

CREATE VIEW aside.handlers AS
    SELECT h.name, h.channel, coalesce(pg_catalog.pg_get_userbyid(h.role), h.owner) AS owner, h.handler,
        CASE WHEN pg_catalog.pg_has_role(h.role, 'USAGE') OR (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) current_user)
             THEN h.command END AS command, h.concurrency, h.batch_size,
        h.max_attempts, h.backoff, h.backoff_cap, h.timeout, h.ordered, h.durable, h.history, h.paused, h.created,
        CASE WHEN h.handler IS NULL THEN NULL
             ELSE EXISTS (SELECT FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
                 WHERE p.prokind = 'f' AND p.pronargs = 1 AND p.proargtypes[0] OPERATOR(pg_catalog.=) CASE h.form WHEN 'e' THEN 'aside.event'::regtype
                     WHEN 'a' THEN 'aside.event[]'::regtype WHEN 'j' THEN 'jsonb'::regtype ELSE 'text'::regtype END
                 AND pg_catalog.strpos(h.handler, pg_catalog.format('%I.%I(', n.nspname, p.proname)) = 1) END AS exists,
        coalesce(CASE WHEN h.closed THEN 'its owner may not handle the events of channel "' || h.channel || '"'
             WHEN h.inert OR h.form <> 'p' THEN aside.definition_reason(h.inert, h.owner, h.role) END, (SELECT aside.coordinator_reason())) AS reason,
        h.rate_limit, CASE WHEN h.rate_limit IS NOT NULL THEN h.rate_period END AS rate_period, h.key_concurrency, h.form = 'p' AS pull
    FROM aside.event_handlers h;
CREATE VIEW aside.events WITH (security_barrier) AS
    SELECT s.id, s.channel, s.payload, s.key, s.priority, s.run_at, s.unique_key, s.headers, s.emitted,
        pg_catalog.pg_get_userbyid(s.emitted_by) AS emitted_by, s.handler, s.state, s.attempts, s.next_at,
        CASE WHEN a.may THEN s.sqlstate END AS sqlstate, CASE WHEN a.may THEN s.message END AS message, s.changed,
        s.max_attempts, s.timeout_ms * interval '1 millisecond' AS timeout, s.expires,
        CASE WHEN s.unique_key IS NOT NULL THEN CASE WHEN s.key_until_start THEN 'start' ELSE 'end' END END AS unique_until, s.of_group AS "group"
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
        -- one that was put off comes again under its number
        coalesce(max(CASE l.kind WHEN 'd' THEN 'done' WHEN 'f' THEN 'failed' WHEN 'x' THEN 'dead' WHEN 'c' THEN 'cancelled' WHEN 'e' THEN 'expired' END),
            CASE WHEN count(*) FILTER (WHERE l.kind = 'a') > count(*) FILTER (WHERE l.kind IN ('w', 's')) THEN 'running' ELSE 'snoozed' END) AS state,
        max(l.sqlstate) AS sqlstate, max(l.message) AS message, max(l.detail) AS detail, max(l.hint) AS hint, max(l.context) AS context,
        max(l.next_at) FILTER (WHERE l.kind <> 'a') AS next_at
    FROM aside.event_log l JOIN aside.event_handlers h ON h.id = l.handler
    WHERE l.kind <> 'u' AND (pg_catalog.pg_has_role(h.role, 'USAGE') OR (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = current_user))
    GROUP BY l.event, h.name, l.attempt, CASE WHEN l.attempt IS NULL THEN l.at END
    HAVING count(*) FILTER (WHERE l.kind <> 'w') > count(*) FILTER (WHERE l.kind = 'w');

-- What the tables say of each handler. Each table is gone through once, whatever the number of handlers.
CREATE VIEW aside.event_tallies AS
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
    ), failures AS MATERIALIZED (
        SELECT f.handler, pg_catalog.jsonb_object_agg(f.sqlstate, f.failed) AS failures, sum(f.lately) AS lately FROM failed f GROUP BY f.handler
    )
    SELECT h.id AS handler, coalesce(s.waiting, 0) AS waiting, coalesce(s.delayed, 0) AS delayed, coalesce(s.retrying, 0) AS retrying,
        coalesce(s.running, 0) AS running, coalesce(s.done, 0) AS done, coalesce(d.dead, 0) AS dead, s.oldest, f.failures,
        coalesce(s.emitted, 0)::numeric / w.seconds AS emitted_per_second, coalesce(s.done_lately, 0)::numeric / w.seconds AS done_per_second,
        coalesce(f.lately, 0)::numeric / w.seconds AS failures_per_second
    FROM w, aside.event_handler h LEFT JOIN states s ON s.handler_id = h.id LEFT JOIN dead d ON d.handler = h.id
        LEFT JOIN failures f ON f.handler = h.id;
CREATE FUNCTION aside.event_bytes() RETURNS bigint LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT sum(pg_relation_size(t))::bigint FROM unnest('{aside.event_0, aside.event_1, aside.event_2, aside.event_log_0, aside.event_log_1,
        aside.event_log_2}'::regclass[]) t $$;
COMMENT ON FUNCTION aside.event_bytes() IS 'Returns how large the tables of events and of their log are.';
-- By the index of txid: what came since the coordinator looked last, which it has not counted.
CREATE FUNCTION aside.event_unseen_counts(since xid8, running xid8[], OUT handler bigint, OUT waiting bigint, OUT delayed bigint, OUT oldest timestamptz)
RETURNS SETOF record LANGUAGE plpgsql VOLATILE ROWS 10 SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
BEGIN
    -- Mostly there is none: that is found out fast.
    IF NOT EXISTS (SELECT FROM aside.event_rows r WHERE r.txid >= since) AND NOT EXISTS (SELECT FROM aside.event_rows r WHERE r.txid = ANY (running)) THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT a.handler, count(*) FILTER (WHERE NOT e.later), count(*) FILTER (WHERE e.later), min(e.due) FILTER (WHERE NOT e.later)
    FROM (SELECT n.id, n.channel, n.target, greatest(n.run_at, n.emitted) AS due, coalesce(n.run_at > clock_timestamp(), false) AS later
          FROM (SELECT * FROM aside.event_rows r WHERE r.txid >= since
                UNION ALL SELECT * FROM aside.event_rows r WHERE r.txid = ANY (running)) n
          WHERE (n.command IS NULL OR n.command = 'notify') AND n.first_txid IS NULL) e
        JOIN aside.event_addresses a ON a.since < e.id AND e.id <= a.until AND a.by = aside.event_by(e.channel, e.target)
    GROUP BY a.handler;
END $$;
COMMENT ON FUNCTION aside.event_unseen_counts(xid8, xid8[]) IS 'Counts, for each handler, the events of these transactions.';
-- Of small tables, what they say at this moment; of large ones what the coordinator has counted, if there is one and it has counted all,
-- and what it has not seen yet.
CREATE FUNCTION aside.event_counts() RETURNS SETOF aside.event_tallies LANGUAGE plpgsql VOLATILE SECURITY DEFINER ROWS 10
SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
    unseen record;
    again record;
    counts jsonb;
BEGIN
    -- There is a coordinator, it has counted everything, and it has a place for the counts of each handler.
    IF aside.event_bytes() <= 1048576 OR NOT EXISTS (SELECT FROM aside.handler_counts() k HAVING count(*) > 0 AND NOT bool_or(k.partial))
        OR EXISTS (SELECT FROM aside.event_handler h WHERE NOT h.inert AND h.created < clock_timestamp() - interval '1 minute'
            AND NOT EXISTS (SELECT FROM aside.handler_counts() k WHERE k.handler = h.id)) THEN
        RETURN QUERY SELECT * FROM aside.event_tallies;
        RETURN;
    END IF;
    -- The two are of the same moment, unless the coordinator is very busy.
    FOR i IN 1 .. 5 LOOP
        SELECT * INTO unseen FROM aside.unseen_transactions();
        counts := (SELECT jsonb_agg(to_jsonb(k)) FROM aside.handler_counts() k);
        SELECT * INTO again FROM aside.unseen_transactions();
        EXIT WHEN again IS NOT DISTINCT FROM unseen;
    END LOOP;
    RETURN QUERY SELECT h.id, coalesce(k.waiting, 0) + coalesce(u.waiting, 0), coalesce(k.delayed, 0) + coalesce(u.delayed, 0), coalesce(k.retrying, 0),
            coalesce(k.running, 0), coalesce(k.done, 0), coalesce(k.dead, 0), least(k.oldest, u.oldest), k.failures,
            coalesce(k.emitted_per_second, 0), coalesce(k.done_per_second, 0), coalesce(k.failures_per_second, 0)
        FROM aside.event_handler h LEFT JOIN jsonb_to_recordset(counts) k (handler bigint, waiting bigint, delayed bigint, retrying bigint, running bigint, done bigint, dead bigint,
                oldest timestamptz, failures jsonb, emitted_per_second numeric, done_per_second numeric, failures_per_second numeric) ON k.handler = h.id
            LEFT JOIN aside.event_unseen_counts(again.since, again.running) u ON u.handler = h.id;
END $$;
COMMENT ON FUNCTION aside.event_counts() IS
    'Counts the events of each handler: in the tables if these are small, or else as the coordinator has counted them.';
GRANT EXECUTE ON FUNCTION aside.event_counts() TO aside_user;
CREATE VIEW aside.event_stats WITH (security_barrier) AS
    SELECT h.name AS handler, h.channel,
        coalesce(c.waiting, 0) AS waiting, coalesce(c.delayed, 0) AS delayed, coalesce(c.retrying, 0) AS retrying,
        coalesce(c.running, 0) AS running, coalesce(c.done, 0) AS done, coalesce(c.dead, 0) AS dead,
        clock_timestamp() - c.oldest AS lag,
        (SELECT pg_catalog.jsonb_object_agg(f.sqlstate, f.times) FROM (SELECT e.key AS sqlstate, pg_catalog.sum(e.value::bigint)::bigint AS times
             FROM (SELECT * FROM pg_catalog.jsonb_each_text(c.failures) UNION ALL SELECT * FROM pg_catalog.jsonb_each_text(k.notes_failures)) e
             GROUP BY e.key) f) AS failures,
        k.notes_waiting AS notifications_waiting, k.notes_done AS notifications_done, k.notes_failed AS notifications_failed,
        k.notes_dropped AS notifications_dropped, k.notes_recorded AS notifications_recorded,
        (SELECT c.state FROM aside.coordinator_rows() c WHERE c.database = current_database()) AS coordinator,
        pg_catalog.pg_notification_queue_usage() AS notification_queue_usage,
        pg_catalog.round(coalesce(c.emitted_per_second, 0), 1) AS emitted_per_second,
        pg_catalog.round(coalesce(c.done_per_second, 0), 1) AS done_per_second,
        pg_catalog.round(coalesce(c.failures_per_second, 0), 1) AS failures_per_second
    FROM aside.event_handlers h LEFT JOIN aside.event_counts() c ON c.handler = h.id LEFT JOIN aside.handler_counts() k ON k.handler = h.id
    WHERE pg_catalog.pg_has_role(h.role, 'USAGE') OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')
        OR (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = current_user);

COMMENT ON VIEW aside.handlers IS
    'Handlers of events and notifications. Column exists: true if the handler''s function exists. Column reason: why the handler cannot run now, or NULL if it can.';
COMMENT ON COLUMN aside.handlers.name IS 'Name of the handler.';
COMMENT ON COLUMN aside.handlers.channel IS 'Channel whose events and notifications the handler gets.';
COMMENT ON COLUMN aside.handlers.owner IS 'Role that the handler runs as.';
COMMENT ON COLUMN aside.handlers.handler IS 'Signature of the function that handles the events.';
COMMENT ON COLUMN aside.handlers.command IS 'Command that handles the events, if there is no function. Shown to those who may act as the owner.';
COMMENT ON COLUMN aside.handlers.concurrency IS 'Number of workers that may run the handler at a time.';
COMMENT ON COLUMN aside.handlers.batch_size IS 'Number of events that one transaction may handle.';
COMMENT ON COLUMN aside.handlers.max_attempts IS 'Number of attempts after which an event is dead.';
COMMENT ON COLUMN aside.handlers.backoff IS 'Wait after the first failed attempt. Each later wait is twice as long.';
COMMENT ON COLUMN aside.handlers.backoff_cap IS 'Longest wait after a failed attempt.';
COMMENT ON COLUMN aside.handlers.timeout IS 'Time that an attempt may take.';
COMMENT ON COLUMN aside.handlers.ordered IS 'True if events of the same key are handled one after the other, in the order of their ids.';
COMMENT ON COLUMN aside.handlers.durable IS 'True if notifications are recorded as events when they arrive.';
COMMENT ON COLUMN aside.handlers.history IS 'Time for which events that have ended are shown in aside.event_history.';
COMMENT ON COLUMN aside.handlers.paused IS 'True if async_event_pause has paused the handler.';
COMMENT ON COLUMN aside.handlers.pull IS 'True if consumers take its events with async_event_pull.';
COMMENT ON COLUMN aside.handlers.created IS 'Time when the handler was defined.';
COMMENT ON COLUMN aside.handlers.exists IS 'True if the function exists. NULL for a command.';
COMMENT ON COLUMN aside.handlers.reason IS 'Why the handler cannot run now. NULL if it can.';
COMMENT ON COLUMN aside.handlers.rate_limit IS 'Number of events that the handler may begin in any rate_period. NULL if there is no limit.';
COMMENT ON COLUMN aside.handlers.rate_period IS 'Time in which rate_limit events may begin.';
COMMENT ON COLUMN aside.handlers.key_concurrency IS 'Number of events of one key that the handler may run at a time. NULL if there is no limit.';
COMMENT ON VIEW aside.events IS 'Events, each with its state for each handler: waiting, delayed, running, retrying, done, dead, cancelled, or expired. An event is shown until its partition is emptied.';
COMMENT ON COLUMN aside.events.id IS 'Number of the event, as async_event_emit returned it.';
COMMENT ON COLUMN aside.events.channel IS 'Channel that the event was emitted to.';
COMMENT ON COLUMN aside.events.payload IS 'What the event carries.';
COMMENT ON COLUMN aside.events.key IS 'Key by which ordered handlers put events in order.';
COMMENT ON COLUMN aside.events.priority IS 'Priority of the event. A higher one comes earlier.';
COMMENT ON COLUMN aside.events.run_at IS 'Time before which the event is not handled.';
COMMENT ON COLUMN aside.events.unique_key IS 'Key that no other event of the channel and emitter may have until this one has ended.';
COMMENT ON COLUMN aside.events.headers IS 'What the emitter said about the event beside its payload.';
COMMENT ON COLUMN aside.events.emitted IS 'Time when the event was emitted.';
COMMENT ON COLUMN aside.events.emitted_by IS 'Role that emitted the event.';
COMMENT ON COLUMN aside.events.handler IS 'Handler that this row is about. NULL if no handler gets the event.';
COMMENT ON COLUMN aside.events.state IS 'State for this handler: waiting, delayed, running, retrying, done, dead, cancelled, or expired.';
COMMENT ON COLUMN aside.events.attempts IS 'Attempts of this handler that count.';
COMMENT ON COLUMN aside.events.next_at IS 'Time of the next attempt, after a failed one, or as the handler or somebody else asked for it.';
COMMENT ON COLUMN aside.events.sqlstate IS 'SQLSTATE of the last error of this handler. Shown to those who may act as its owner.';
COMMENT ON COLUMN aside.events.message IS 'Message of the last error of this handler. Shown to those who may act as its owner.';
COMMENT ON COLUMN aside.events.changed IS 'Time of the last change of the state.';
COMMENT ON COLUMN aside.events.max_attempts IS 'Number of attempts after which this event is dead. NULL if that is as the handler says.';
COMMENT ON COLUMN aside.events.timeout IS 'Time that an attempt of this event may take. NULL if that is as the handler says.';
COMMENT ON COLUMN aside.events.expires IS 'Time by which the event must have begun. If it has not, it ends as expired.';
COMMENT ON COLUMN aside.events.unique_until IS 'Until when the event has its unique key: start, of its first attempt, or end. NULL if it has none.';
COMMENT ON COLUMN aside.events."group" IS 'Number of the group that the event is of.';
COMMENT ON VIEW aside.dead_events IS 'Events that a handler failed to handle in all of its attempts. async_event_redrive emits them again.';
COMMENT ON COLUMN aside.dead_events.id IS 'Number of the event.';
COMMENT ON COLUMN aside.dead_events.handler IS 'Handler that failed to handle the event.';
COMMENT ON COLUMN aside.dead_events.channel IS 'Channel that the event was emitted to.';
COMMENT ON COLUMN aside.dead_events.payload IS 'What the event carries.';
COMMENT ON COLUMN aside.dead_events.key IS 'Key by which ordered handlers put events in order.';
COMMENT ON COLUMN aside.dead_events.priority IS 'Priority of the event.';
COMMENT ON COLUMN aside.dead_events.headers IS 'What the emitter said about the event beside its payload.';
COMMENT ON COLUMN aside.dead_events.emitted IS 'Time when the event was emitted.';
COMMENT ON COLUMN aside.dead_events.emitted_by IS 'Role that emitted the event. NULL for a notification.';
COMMENT ON COLUMN aside.dead_events.attempts IS 'Attempts that were made.';
COMMENT ON COLUMN aside.dead_events.sqlstate IS 'SQLSTATE of the last error.';
COMMENT ON COLUMN aside.dead_events.message IS 'Message of the last error.';
COMMENT ON COLUMN aside.dead_events.detail IS 'Detail of the last error.';
COMMENT ON COLUMN aside.dead_events.hint IS 'Hint of the last error.';
COMMENT ON COLUMN aside.dead_events.context IS 'Context of the last error.';
COMMENT ON COLUMN aside.dead_events.died IS 'Time when the last attempt failed.';
COMMENT ON COLUMN aside.dead_events.errors IS 'Errors of the last 100 attempts, as a JSON array.';
COMMENT ON VIEW aside.event_runs IS
    'Attempts to handle events, shown until the event''s partition is emptied. The attempt is NULL if it does not count, as after a serialization failure.';
COMMENT ON COLUMN aside.event_runs.event IS 'Number of the event.';
COMMENT ON COLUMN aside.event_runs.handler IS 'Handler that made the attempt.';
COMMENT ON COLUMN aside.event_runs.attempt IS 'Number of the attempt. NULL if it does not count.';
COMMENT ON COLUMN aside.event_runs.started IS 'Time when the attempt was given to a worker.';
COMMENT ON COLUMN aside.event_runs.finished IS 'Time when the attempt ended.';
COMMENT ON COLUMN aside.event_runs.state IS 'State of the attempt: running, done, failed, dead, cancelled, snoozed, or expired.';
COMMENT ON COLUMN aside.event_runs.sqlstate IS 'SQLSTATE of the error.';
COMMENT ON COLUMN aside.event_runs.message IS 'Message of the error.';
COMMENT ON COLUMN aside.event_runs.detail IS 'Detail of the error.';
COMMENT ON COLUMN aside.event_runs.hint IS 'Hint of the error.';
COMMENT ON COLUMN aside.event_runs.context IS 'Context of the error.';
COMMENT ON COLUMN aside.event_runs.next_at IS 'Time of the next attempt.';
COMMENT ON VIEW aside.event_tallies IS 'What the tables of events and of their log say of each handler.';
COMMENT ON VIEW aside.event_stats IS
    'For each handler: the number of events in each state, how long the oldest due event has waited, and failures by SQLSTATE. Also counts of notifications since the coordinator started, the coordinator''s state, and rates over the last minute, or since the oldest event in the tables.';
COMMENT ON COLUMN aside.event_stats.handler IS 'Name of the handler.';
COMMENT ON COLUMN aside.event_stats.channel IS 'Channel of the handler.';
COMMENT ON COLUMN aside.event_stats.waiting IS 'Events that are due and have not begun.';
COMMENT ON COLUMN aside.event_stats.delayed IS 'Events whose time has not come.';
COMMENT ON COLUMN aside.event_stats.retrying IS 'Events that failed and will be tried again.';
COMMENT ON COLUMN aside.event_stats.running IS 'Events that a worker has.';
COMMENT ON COLUMN aside.event_stats.done IS 'Events that were handled, as far as the tables still hold them; if the tables are large, since the coordinator started.';
COMMENT ON COLUMN aside.event_stats.dead IS 'Events that failed in all attempts.';
COMMENT ON COLUMN aside.event_stats.lag IS 'How long the oldest event that is due and has not ended has waited.';
COMMENT ON COLUMN aside.event_stats.failures IS 'Failed attempts, counted by SQLSTATE: those of events as far as the tables hold them, or since the coordinator started; those of notifications since the coordinator started.';
COMMENT ON COLUMN aside.event_stats.notifications_waiting IS 'Notifications that wait in memory.';
COMMENT ON COLUMN aside.event_stats.notifications_done IS 'Notifications that were handled since the coordinator started.';
COMMENT ON COLUMN aside.event_stats.notifications_failed IS 'Notifications that failed since the coordinator started.';
COMMENT ON COLUMN aside.event_stats.notifications_dropped IS 'Notifications that were dropped for want of memory since the coordinator started.';
COMMENT ON COLUMN aside.event_stats.notifications_recorded IS 'Notifications that were recorded as events since the coordinator started.';
COMMENT ON COLUMN aside.event_stats.coordinator IS 'State of this database''s coordinator.';
COMMENT ON COLUMN aside.event_stats.notification_queue_usage IS 'How full the server''s notification queue is, from 0 to 1.';
COMMENT ON COLUMN aside.event_stats.emitted_per_second IS 'Events emitted per second in the last minute.';
COMMENT ON COLUMN aside.event_stats.done_per_second IS 'Events handled per second in the last minute.';
COMMENT ON COLUMN aside.event_stats.failures_per_second IS 'Failed attempts per second in the last minute.';

GRANT SELECT ON aside.handlers, aside.events, aside.dead_events, aside.event_runs, aside.event_stats TO aside_user;
