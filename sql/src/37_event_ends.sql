-- Role: what happens when an event has ended: a history is kept, and of what failed for good others are told. The coordinator calls
-- these (c-shim/events/record.c, c-shim/events/tables.c, c-shim/definitions/record.c).

-- What is in a partition that is about to be emptied has ended.
CREATE FUNCTION aside.event_keep_history(partition int) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off SET jit = off AS $$
BEGIN
    IF EXISTS (SELECT FROM aside.event_handler h WHERE h.history IS NOT NULL) THEN
        EXECUTE format('INSERT INTO aside.event_past SELECT e.id, l.handler, e.channel, e.payload, e.key, e.priority, e.headers, e.emitted,
                CASE WHEN e.emitted_by <> 0 THEN pg_get_userbyid(e.emitted_by) END, l.state, l.attempts, l.sqlstate, l.message, l.ended
            FROM aside.event_%1$s e JOIN (SELECT ev AS id, o.handler, coalesce(max(o.attempt), 0) AS attempts,
                    max(CASE o.kind WHEN ''d'' THEN ''done'' WHEN ''x'' THEN ''dead'' WHEN ''c'' THEN ''cancelled'' WHEN ''e'' THEN ''expired'' END) AS state,
                    (array_agg(o.sqlstate ORDER BY o.at DESC) FILTER (WHERE o.sqlstate IS NOT NULL))[1] AS sqlstate,
                    (array_agg(o.message ORDER BY o.at DESC) FILTER (WHERE o.message IS NOT NULL))[1] AS message, max(o.at) AS ended
                FROM aside.event_log_%1$s o JOIN aside.event_handler h ON h.id = o.handler AND h.history IS NOT NULL, unnest(o.events) ev
                GROUP BY ev, o.handler HAVING bool_or(aside.event_kind_ends(o.kind))) l ON l.id = e.id
            WHERE e.command IS NULL OR e.command = ''notify''', partition);
    END IF;
    DELETE FROM aside.event_past p WHERE NOT EXISTS (SELECT FROM aside.event_handler h
        WHERE h.id = p.handler AND p.ended > clock_timestamp() - h.history);
END $$;
COMMENT ON FUNCTION aside.event_keep_history(int) IS 'Keeps the history of events of a partition, and forgets what is older than its handler says.';

-- What was begun within the period of a handler's rate is of account after the log is gone.
CREATE FUNCTION aside.event_starts_in(partition int) RETURNS SETOF aside.event_started LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off SET jit = off AS $$
BEGIN
    RETURN QUERY EXECUTE format('SELECT h.id, max(l.at), sum(CASE l.kind WHEN ''a'' THEN 1 ELSE -1 END)::bigint
        FROM aside.event_handler h JOIN aside.event_log_%1$s l ON l.handler = h.id, unnest(l.events) ev
            JOIN aside.event_%1$s e ON e.id = ev AND e.command IS DISTINCT FROM ''moved''
        WHERE h.rate_limit IS NOT NULL AND l.kind IN (''a'', ''w'') AND l.at > clock_timestamp() - h.rate_period
        GROUP BY h.id, floor(extract(epoch FROM l.at) * 256 / extract(epoch FROM h.rate_period))
        HAVING sum(CASE l.kind WHEN ''a'' THEN 1 ELSE -1 END) > 0', partition);
END $$;
COMMENT ON FUNCTION aside.event_starts_in(int) IS 'Returns what handlers with a rate have begun within its period, as a partition''s log says.';
CREATE FUNCTION aside.event_starts() RETURNS SETOF aside.event_started LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.* FROM generate_series(0, 2) p, aside.event_starts_in(p) s
    UNION ALL SELECT s.* FROM aside.event_started s JOIN aside.event_handler h ON h.id = s.handler
        WHERE h.rate_limit IS NOT NULL AND s.at > clock_timestamp() - h.rate_period $$;
COMMENT ON FUNCTION aside.event_starts() IS 'Returns what handlers with a rate have begun within its period.';
CREATE FUNCTION aside.event_keep_starts(partition int) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM aside.event_started s WHERE NOT EXISTS (SELECT FROM aside.event_handler h
        WHERE h.id = s.handler AND h.rate_limit IS NOT NULL AND s.at > clock_timestamp() - h.rate_period);
    IF EXISTS (SELECT FROM aside.event_handler h WHERE h.rate_limit IS NOT NULL) THEN
        INSERT INTO aside.event_started SELECT * FROM aside.event_starts_in(partition);
    END IF;
END $$;
COMMENT ON FUNCTION aside.event_keep_starts(int) IS 'Keeps what is of account for the rates of handlers, from a partition that is about to be emptied.';

-- Each handler of the channel whose owner may know of it is told, for itself. What fails on this channel is told nobody.
CREATE FUNCTION aside.tell_failed(of_role oid, depth int, told jsonb) RETURNS int LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    target bigint;
    count int := 0;
BEGIN
    IF of_role IS NULL OR depth >= current_setting('aside.max_event_depth')::int THEN
        RETURN 0;
    END IF;
    FOR target IN SELECT h.id FROM aside.event_handlers h JOIN pg_roles r ON r.oid = h.role
        WHERE h.channel = 'aside.failed' AND (r.rolsuper OR pg_has_role(h.role, of_role, 'USAGE')) LOOP
        PERFORM aside.event_put('aside.failed', told, NULL, 0, NULL, of_role, target, NULL, depth => depth + 1);
        count := count + 1;
    END LOOP;
    RETURN count;
END $$;
COMMENT ON FUNCTION aside.tell_failed(oid, int, jsonb) IS
    'Emits an event to the handlers of channel aside.failed whose owners may act for the role. Returns how many there are.';
CREATE FUNCTION aside.event_tell_dead(event bigint, handler bigint) RETURNS int LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    SELECT aside.tell_failed(h.role, (SELECT max(e.depth) FROM aside.event_rows e WHERE e.id = d.id), jsonb_build_object('kind', 'event',
            'handler', h.name, 'event', d.id, 'channel', d.channel, 'attempts', d.attempts, 'sqlstate', d.sqlstate, 'message', d.message,
            'detail', d.detail, 'hint', d.hint, 'context', d.context))
        FROM aside.event_dead d JOIN aside.event_handlers h ON h.id = d.handler
        WHERE d.id = event AND d.handler = event_tell_dead.handler AND d.channel <> 'aside.failed' $$;
COMMENT ON FUNCTION aside.event_tell_dead(bigint, bigint) IS 'Tells the handlers of channel aside.failed of a dead event.';

CREATE VIEW aside.event_history WITH (security_barrier) AS
    SELECT o.id, h.name AS handler, o.channel, o.payload, o.key, o.priority, o.headers, o.emitted, o.emitted_by::name AS emitted_by, o.state,
        o.attempts, o.sqlstate, o.message, o.ended
    FROM (SELECT p.* FROM aside.event_past p
            UNION ALL SELECT s.id, s.handler_id, s.channel, s.payload, s.key, s.priority, s.headers, s.emitted,
                CASE WHEN s.emitted_by OPERATOR(pg_catalog.<>) 0::oid THEN pg_catalog.pg_get_userbyid(s.emitted_by)::text END,
                s.state, s.attempts, s.sqlstate, s.message, s.changed
            FROM aside.event_states s WHERE s.state IN ('done', 'dead', 'cancelled', 'expired')) o
        JOIN aside.event_handlers h ON h.id = o.handler
    WHERE o.ended > pg_catalog.clock_timestamp() - h.history
        AND (pg_catalog.pg_has_role(h.role, 'USAGE') OR (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = current_user));
COMMENT ON VIEW aside.event_history IS
    'Events that have ended, of handlers with the option "history", for as long as that says. Shown to those who may act as the handler''s owner.';
COMMENT ON COLUMN aside.event_history.id IS 'Number of the event.';
COMMENT ON COLUMN aside.event_history.handler IS 'Handler for which the event has ended.';
COMMENT ON COLUMN aside.event_history.channel IS 'Channel that the event was emitted to.';
COMMENT ON COLUMN aside.event_history.payload IS 'What the event carries.';
COMMENT ON COLUMN aside.event_history.key IS 'Key by which ordered handlers put events in order.';
COMMENT ON COLUMN aside.event_history.priority IS 'Priority of the event.';
COMMENT ON COLUMN aside.event_history.headers IS 'What the emitter said about the event beside its payload.';
COMMENT ON COLUMN aside.event_history.emitted IS 'Time when the event was emitted.';
COMMENT ON COLUMN aside.event_history.emitted_by IS 'Role that emitted the event. NULL for a notification.';
COMMENT ON COLUMN aside.event_history.state IS 'How it ended: done, dead, cancelled, or expired.';
COMMENT ON COLUMN aside.event_history.attempts IS 'Attempts that were made.';
COMMENT ON COLUMN aside.event_history.sqlstate IS 'SQLSTATE of the last error.';
COMMENT ON COLUMN aside.event_history.message IS 'Message of the last error.';
COMMENT ON COLUMN aside.event_history.ended IS 'Time when it ended.';
GRANT SELECT ON aside.event_history TO aside_user;
