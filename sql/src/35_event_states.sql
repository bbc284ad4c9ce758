-- Role: the state of an event for each of its handlers, by what the log says: the views that the views of users stand on.

CREATE VIEW aside.event_rows AS
    SELECT 0 AS partition, * FROM aside.event_0 UNION ALL SELECT 1, * FROM aside.event_1 UNION ALL SELECT 2, * FROM aside.event_2;
-- What is said of leases alone is not of account here.
CREATE VIEW aside.event_log AS
    SELECT 0 AS partition, l.handler, ev AS event, l.kind, l.attempt, l.at, l.next_at, l.sqlstate, l.message, l.detail, l.hint, l.context FROM aside.event_log_0 l, pg_catalog.unnest(l.events) ev WHERE l.kind NOT IN ('l', 'n', 'o')
    UNION ALL SELECT 1, l.handler, ev, l.kind, l.attempt, l.at, l.next_at, l.sqlstate, l.message, l.detail, l.hint, l.context FROM aside.event_log_1 l, pg_catalog.unnest(l.events) ev WHERE l.kind NOT IN ('l', 'n', 'o')
    UNION ALL SELECT 2, l.handler, ev, l.kind, l.attempt, l.at, l.next_at, l.sqlstate, l.message, l.detail, l.hint, l.context FROM aside.event_log_2 l, pg_catalog.unnest(l.events) ev WHERE l.kind NOT IN ('l', 'n', 'o');
CREATE VIEW aside.event_errors AS
    SELECT o.event, o.handler,
        pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('attempt', o.attempt, 'at', o.at, 'sqlstate', o.sqlstate, 'message', o.message) ORDER BY o.at) AS errors
    FROM (SELECT d.*, row_number() OVER (PARTITION BY d.event, d.handler ORDER BY d.at DESC) AS back
          FROM (SELECT DISTINCT l.event, l.handler, l.attempt, l.at, l.sqlstate, l.message FROM aside.event_log l
                WHERE l.kind IN ('f', 'x') AND l.sqlstate IS NOT NULL) d) o
    WHERE o.back <= 100
    GROUP BY o.event, o.handler;
-- For the views: of handlers that have not ended, the role that they act for; NULL: nobody. Asked once for each handler.
CREATE VIEW aside.event_handlers AS
    SELECT h.*, o.role FROM aside.event_handler h,
        LATERAL (SELECT CASE WHEN NOT h.inert THEN aside.definition_owner('handler', h.id, h.name) END AS role) o
    WHERE h.inert OR o.role IS NOT NULL
    OFFSET 0;
-- Whose events they are: of the handler that an event is for alone, or of all that had its channel when it came.
CREATE VIEW aside.event_handled_by AS
    SELECT a.by, a.since, a.until, h.id AS handler_id, h.name AS handler, h.role AS handler_owner
    FROM aside.event_addresses a JOIN aside.event_handlers h ON h.id = a.handler;
-- What the log says of each event for each handler.
CREATE VIEW aside.event_fates AS
    SELECT o.event AS of_event, o.handler AS by_handler, bool_or(o.kind = 'd') AS done, bool_or(o.kind = 'x') AS dead,
        bool_or(o.kind = 'c') AS cancelled, bool_or(o.kind = 'e') AS expired, count(*) FILTER (WHERE o.kind = 'a') AS begun,
        count(*) FILTER (WHERE o.kind IN ('w', 'd', 'f', 'x', 'c', 's')) AS ended, count(*) FILTER (WHERE o.kind = 'f') AS failed,
        -- somebody asked for that time
        (max(ARRAY[o.at, o.next_at]) FILTER (WHERE o.kind IN ('s', 'u')))[2] AS asked_for,
        -- one that was not made is the last that was begun
        max(o.attempt) - ((pg_catalog.array_agg(o.kind ORDER BY o.at DESC) FILTER (WHERE o.kind <> 'u'))[1] IN ('w', 's'))::int AS counted,
        (max(ARRAY[o.at, o.next_at]) FILTER (WHERE o.next_at IS NOT NULL AND o.kind <> 'a'))[2] AS next_at, max(o.at) AS changed,
        (pg_catalog.array_agg(o.sqlstate ORDER BY o.at DESC) FILTER (WHERE o.sqlstate IS NOT NULL))[1] AS sqlstate,
        -- the last one, without holding all
        (max(ARRAY[pg_catalog.to_char(o.at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), o.message]) FILTER (WHERE o.message IS NOT NULL))[2] AS message
    FROM aside.event_log o GROUP BY o.event, o.handler;
CREATE FUNCTION aside.event_state(done boolean, dead boolean, cancelled boolean, expired boolean, begun bigint, ended bigint, failed bigint, run_at timestamptz)
RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT CASE WHEN done THEN 'done' WHEN dead THEN 'dead' WHEN cancelled THEN 'cancelled' WHEN expired THEN 'expired' WHEN begun OPERATOR(pg_catalog.>) ended THEN 'running'
        WHEN failed OPERATOR(pg_catalog.>) 0 THEN 'retrying' WHEN run_at OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp() THEN 'delayed' ELSE 'waiting' END $$;
COMMENT ON FUNCTION aside.event_state(boolean, boolean, boolean, boolean, bigint, bigint, bigint, timestamptz) IS
    'Returns the state of an event for one handler, given the event''s row in aside.event_fates. NULLs mean that the log has no line of it.';
-- The tables have no statistics, and are guessed to be small. A full join, kept apart from all conditions, is never a nested loop.
CREATE VIEW aside.event_states AS
    SELECT s.*,
        CASE WHEN s.handler_id IS NOT NULL THEN aside.event_state(s.done, s.dead, s.cancelled, s.expired, s.begun, s.ended, s.failed, coalesce(s.asked_for, s.run_at)) END AS state,
        CASE WHEN s.handler_id IS NOT NULL THEN coalesce(s.counted, 0)::int END AS attempts
    FROM (
        SELECT p.*, l.*
        FROM (
            SELECT e.id, e.channel, e.payload, e.key, e.priority, e.run_at, e.unique_key, e.headers, e.emitted, e.emitted_by,
                e.max_attempts, e.timeout_ms, e.expires, e.key_until_start, e.of_group, h.handler_id, h.handler, h.handler_owner
            FROM aside.event_rows e
            LEFT JOIN aside.event_handled_by h ON h.since < e.id AND e.id <= h.until
                AND h.by = aside.event_by(e.channel, e.target)
            WHERE e.command IS NULL OR e.command = 'notify'
        ) p
        FULL JOIN aside.event_fates l ON l.of_event = p.id AND l.by_handler = p.handler_id
        OFFSET 0
    ) s
    WHERE s.id IS NOT NULL;

-- For the quota of a role.
CREATE FUNCTION aside.event_count_open(role oid, most int) RETURNS int LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*)::int FROM (SELECT DISTINCT s.id FROM aside.event_states s
        WHERE s.emitted_by = role AND s.state IN ('waiting', 'delayed', 'retrying', 'running') LIMIT most) o $$;
COMMENT ON FUNCTION aside.event_count_open(oid, int) IS
    'Counts the events of an emitting role that are still to be handled. Stops at the given number.';

COMMENT ON VIEW aside.event_rows IS 'Rows of all partitions of events.';
COMMENT ON VIEW aside.event_log IS 'Lines of all partitions of the log, one row for each event of a line.';
COMMENT ON VIEW aside.event_errors IS 'Errors of the last 100 attempts of each event for each handler, as far as the log holds them.';
COMMENT ON VIEW aside.event_states IS 'Each event with each of its handlers, and what the log says of the two.';
COMMENT ON VIEW aside.event_handled_by IS 'Maps the address of an event, a channel or one handler, to the handlers that handle it.';
COMMENT ON VIEW aside.event_fates IS 'What the log says of each event for each handler.';
COMMENT ON VIEW aside.event_handlers IS 'Handlers that have not ended, each with the role that it acts for.';

-- As aside.events shows it, of one event, by its index.
CREATE FUNCTION aside.async_event_state(caller oid, id bigint) RETURNS TABLE (handler text, state text, attempts int, sqlstate text, message text,
    next_at timestamptz) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
    asked bigint := id;
    super boolean := (SELECT r.rolsuper FROM pg_roles r WHERE r.oid = caller);
BEGIN
    IF id IS NULL THEN
        RAISE EXCEPTION 'event id must not be null' USING ERRCODE = '22004';
    END IF;
    RETURN QUERY SELECT s.handler, s.state, s.attempts, CASE WHEN s.may THEN s.sqlstate END, CASE WHEN s.may THEN s.message END, s.next_at
        FROM (SELECT h.handler, aside.event_state(f.done, f.dead, f.cancelled, f.expired, f.begun, f.ended, f.failed, coalesce(f.asked_for, e.run_at)) AS state,
                  coalesce(f.counted, 0)::int AS attempts, f.sqlstate, f.message, f.next_at, e.emitted_by,
                  super OR coalesce(pg_has_role(caller, h.handler_owner, 'USAGE'), false) AS may
              FROM aside.event_rows e JOIN aside.event_handled_by h ON h.since < e.id AND e.id <= h.until
                      AND h.by = aside.event_by(e.channel, e.target)
                  LEFT JOIN aside.event_fates f ON f.of_event = asked AND f.by_handler = h.handler_id
              WHERE e.id = asked AND (e.command IS NULL OR e.command = 'notify')) s
        WHERE s.may OR EXISTS (SELECT FROM pg_roles r WHERE r.oid = s.emitted_by AND pg_has_role(caller, r.oid, 'USAGE'))
        ORDER BY s.handler;
    IF FOUND THEN
        RETURN;
    END IF;
    -- Its row goes when all others of its table have ended; dead letters stay.
    RETURN QUERY SELECT h.name, 'dead', d.attempts, d.sqlstate, d.message, NULL::timestamptz
        FROM aside.event_dead d JOIN aside.event_handlers h ON h.id = d.handler
        WHERE d.id = asked AND (super OR pg_has_role(caller, h.role, 'USAGE'))
        ORDER BY h.name;
END $$;

-- For all of its handlers? What the tables do not have any more has ended.
CREATE FUNCTION aside.event_ended(caller oid, id bigint) RETURNS boolean LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its aside.event_rows;
BEGIN
    SELECT * INTO its FROM aside.event_rows e WHERE e.id = event_ended.id AND (e.command IS NULL OR e.command = 'notify');
    IF NOT FOUND THEN
        IF id < 1 OR id > (SELECT s.last_value FROM aside.event_id s) THEN
            RAISE EXCEPTION 'event % does not exist', id USING ERRCODE = '42704';
        END IF;
        RETURN true;
    END IF;
    IF its.txid = pg_current_xact_id_if_assigned() THEN
        RAISE EXCEPTION 'event % was emitted or changed by this transaction', id USING ERRCODE = '55000',
            DETAIL = 'No handler gets it before this transaction has committed.', HINT = 'Wait for it after COMMIT.';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = caller AND (r.rolsuper OR pg_has_role(caller, its.emitted_by, 'USAGE')))
        AND NOT EXISTS (SELECT FROM aside.event_handled_by h WHERE h.by = aside.event_by(its.channel, its.target) AND h.since < id
            AND id <= h.until AND pg_has_role(caller, h.handler_owner, 'USAGE')) THEN
        RAISE EXCEPTION 'permission denied for event %', id USING ERRCODE = '42501',
            DETAIL = 'Another role emitted it, and you have no handler that handles it.';
    END IF;
    RETURN NOT EXISTS (SELECT FROM aside.event_handled_by h LEFT JOIN aside.event_fates f ON f.of_event = event_ended.id AND f.by_handler = h.handler_id
        WHERE h.by = aside.event_by(its.channel, its.target) AND h.since < id AND id <= h.until
            AND (f.done OR f.dead OR f.cancelled OR f.expired) IS NOT TRUE);
END $$;
COMMENT ON FUNCTION aside.event_ended(oid, bigint) IS 'True if an event has ended for all of its handlers.';

COMMENT ON FUNCTION aside.async_event_state(oid, bigint) IS 'Does the work of async_event_state for the role given first.';

CREATE FUNCTION async_event_state(id bigint, OUT handler text, OUT state text, OUT attempts int, OUT sqlstate text, OUT message text,
    OUT next_at timestamptz) RETURNS SETOF record LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_event_forward_rows';
COMMENT ON FUNCTION async_event_state(bigint) IS
    'Returns the state of one event for each of its handlers, found by an index. Returns no rows if there is no such event, or the caller may not see it. NULL raises 22004.';

CREATE FUNCTION async_event_wait(id bigint, timeout interval DEFAULT NULL) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_event_wait';
COMMENT ON FUNCTION async_event_wait(bigint, interval) IS
    'Waits until an event has ended for all of its handlers, or the timeout is over. Returns true if it has ended. The coordinator wakes the caller.';

-- The views of users ask aside.event_state.
GRANT EXECUTE ON FUNCTION
    async_event_state(bigint), async_event_wait(bigint, interval),
    aside.event_state(boolean, boolean, boolean, boolean, bigint, bigint, bigint, timestamptz)
TO aside_user;
