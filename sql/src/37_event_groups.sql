-- Role: groups of events: they are made, joined and closed, and emit an event when all of theirs have ended. What of a group
-- has ended is in the tables aside.event_group_N; when to look, the coordinator knows (rust-core/src/async_event/groups.rs).

CREATE FUNCTION aside.event_depth() RETURNS int LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'aside_event_depth_now';
COMMENT ON FUNCTION aside.event_depth() IS 'Returns how deep the event is nested that this transaction handles.';
CREATE VIEW aside.event_group_rows AS
    SELECT 0 AS partition, * FROM aside.event_group_0 UNION ALL SELECT 1, * FROM aside.event_group_1 UNION ALL SELECT 2, * FROM aside.event_group_2;
COMMENT ON VIEW aside.event_group_rows IS 'Rows of groups in all partitions.';

-- For several handlers an event ends as the worst that it does for one of them.
CREATE VIEW aside.event_group_fates AS
    SELECT r.of_group, r.partition, r.event, CASE WHEN bool_or(r.kind = 'x') THEN 'dead' WHEN bool_or(r.kind = 'c') THEN 'cancelled'
        WHEN bool_or(r.kind = 'e') THEN 'expired' WHEN bool_or(r.kind = 'd') THEN 'done' END AS state
    FROM aside.event_group_rows r GROUP BY r.of_group, r.partition, r.event;
COMMENT ON VIEW aside.event_group_fates IS 'Events of groups that the partitions have, and how they have ended.';
CREATE FUNCTION aside.event_group_counts(wanted bigint, in_partition int DEFAULT NULL)
RETURNS TABLE (events bigint, done bigint, dead bigint, cancelled bigint, expired bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
    SELECT count(*), count(*) FILTER (WHERE f.state = 'done'), count(*) FILTER (WHERE f.state = 'dead'),
        count(*) FILTER (WHERE f.state = 'cancelled'), count(*) FILTER (WHERE f.state = 'expired')
    FROM aside.event_group_fates f WHERE f.of_group = wanted AND (in_partition IS NULL OR f.partition = in_partition) $$;
COMMENT ON FUNCTION aside.event_group_counts(bigint, int) IS 'Counts the events of a group that a partition has, or all have, by how they have ended.';
CREATE FUNCTION aside.event_group_is_open(wanted bigint) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
    SELECT EXISTS (SELECT FROM aside.event_group_rows m JOIN aside.event_rows e ON e.id = m.event AND e.partition = m.partition AND e.command IS NULL
        JOIN aside.event_addresses a ON a.by = aside.event_by(e.channel, e.target) AND a.since < e.id AND e.id <= a.until
        WHERE m.of_group = wanted AND m.handler IS NULL
            AND NOT EXISTS (SELECT FROM aside.event_group_rows d WHERE d.of_group = wanted AND d.event = m.event AND d.handler = a.handler)) $$;
COMMENT ON FUNCTION aside.event_group_is_open(bigint) IS 'Is there an event of the group that has not ended for a handler?';

CREATE FUNCTION aside.event_check_group(caller oid, wanted bigint) RETURNS aside.event_group LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its aside.event_group;
BEGIN
    IF wanted IS NULL THEN
        RAISE EXCEPTION 'number of a group of events must not be null' USING ERRCODE = '22004';
    END IF;
    SELECT * INTO its FROM aside.event_group g WHERE g.id = wanted;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'group % of events does not exist', wanted USING ERRCODE = '42704';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = caller AND (r.rolsuper OR pg_has_role(caller, its.owner, 'USAGE'))) THEN
        RAISE EXCEPTION 'permission denied for group % of events', wanted USING ERRCODE = '42501', DETAIL = 'Another role made it.';
    END IF;
    RETURN its;
END $$;
COMMENT ON FUNCTION aside.event_check_group(oid, bigint) IS 'Returns a group. Raises 42704 or 42501 if there is none, or the role may not use it.';

CREATE FUNCTION aside.async_event_group(caller oid, then_channel text, payload jsonb) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    new_id bigint;
BEGIN
    IF then_channel IS NULL OR then_channel = '' THEN
        RAISE EXCEPTION 'channel of an event must not be null or empty' USING ERRCODE = '22004';
    ELSIF starts_with(then_channel, 'aside.') THEN
        RAISE EXCEPTION 'channel names that begin with "aside." are reserved' USING ERRCODE = '42939';
    ELSIF aside.event_depth() >= current_setting('aside.max_event_depth')::int THEN
        RAISE EXCEPTION 'events emitted by handlers of events are nested too deeply' USING ERRCODE = '54001',
            DETAIL = format('The limit is %s.', current_setting('aside.max_event_depth')),
            HINT = 'Consider increasing "aside.max_event_depth", after ensuring that this ends.';
    END IF;
    PERFORM aside.channel_check(then_channel, caller, true);
    new_id := aside.event_next_id();
    INSERT INTO aside.event_group (id, channel, payload, owner, depth) VALUES (new_id, then_channel, payload, caller, aside.event_depth());
    RETURN new_id;
END $$;
COMMENT ON FUNCTION aside.async_event_group(oid, text, jsonb) IS 'Does the work of async_event_group for the role given first.';

-- Whoever closes the group waits for those who have joined it and not ended. The rows of a closed group are not locked for long.
CREATE FUNCTION aside.event_join_group(wanted bigint, event bigint, partition int, caller oid) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its aside.event_group := aside.event_check_group(caller, wanted);
    still_open boolean := NOT its.closed;
BEGIN
    IF still_open THEN
        SELECT NOT g.closed INTO still_open FROM aside.event_group g WHERE g.id = wanted FOR KEY SHARE;
    END IF;
    IF still_open IS NOT TRUE THEN
        RAISE EXCEPTION 'group % of events is closed', wanted USING ERRCODE = '55000',
            HINT = 'Emit all events of a group before you call async_event_group_close().';
    END IF;
    EXECUTE format('INSERT INTO aside.event_group_%s (of_group, event) VALUES ($1, $2)', partition) USING wanted, event;
END $$;
COMMENT ON FUNCTION aside.event_join_group(bigint, bigint, int, oid) IS 'Puts an event that is being emitted into a group. Raises 55000 if the group is closed.';

CREATE FUNCTION aside.async_event_group_close(caller oid, id bigint) RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its aside.event_group := aside.event_check_group(caller, id);
BEGIN
    IF its.closed THEN
        RETURN false;
    END IF;
    PERFORM FROM aside.event_group g WHERE g.id = its.id AND NOT g.closed FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE aside.event_group g SET closed = true WHERE g.id = its.id;
    PERFORM aside.event_put('', to_jsonb(its.id), NULL, 0, NULL, caller, NULL, 'close');
    RETURN true;
END $$;
COMMENT ON FUNCTION aside.async_event_group_close(oid, bigint) IS 'Does the work of async_event_group_close for the role given first.';

-- Asked by the coordinator, which waits for nobody: what somebody has locked it asks for again. The row says that the event was emitted.
CREATE FUNCTION aside.event_groups_end(wanted bigint[], OUT emitted int, OUT busy boolean) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its_id bigint;
    its aside.event_group;
    counts record;
    new_id bigint;
BEGIN
    emitted := 0;
    busy := false;
    FOR its_id IN SELECT g.id FROM aside.event_group g WHERE g.closed AND g.ended IS NULL AND (wanted = '{}' OR g.id = ANY (wanted)) LOOP
        CONTINUE WHEN aside.event_group_is_open(its_id);
        SELECT * INTO its FROM aside.event_group g WHERE g.id = its_id FOR NO KEY UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            busy := true;
            CONTINUE;
        END IF;
        SELECT c.events + its.events AS events, c.done + its.done AS done, c.dead + its.dead AS dead, c.cancelled + its.cancelled AS cancelled,
            c.expired + its.expired AS expired INTO counts FROM aside.event_group_counts(its.id) c;
        -- Its owner may have lost the right since. A role that has gone may emit to open channels only.
        new_id := NULL;
        IF aside.channel_allows(its.channel, its.owner, true) THEN
            new_id := aside.event_put(its.channel, CASE WHEN its.payload IS NULL THEN '{}' WHEN jsonb_typeof(its.payload) = 'object' THEN its.payload
                    ELSE jsonb_build_object('payload', its.payload) END || jsonb_build_object('group', its.id) || to_jsonb(counts),
                NULL, 0, NULL, its.owner, NULL, NULL, depth => its.depth + 1);
            emitted := emitted + 1;
        END IF;
        UPDATE aside.event_group g SET events = counts.events, done = counts.done, dead = counts.dead, cancelled = counts.cancelled,
            expired = counts.expired, ended = clock_timestamp(), event = new_id WHERE g.id = its.id;
    END LOOP;
END $$;
COMMENT ON FUNCTION aside.event_groups_end(bigint[]) IS
    'Emits the events of those of the groups, or of all, that are closed and have ended. Returns how many, and whether somebody has locked one.';

-- What is in a partition that is about to be emptied has ended.
CREATE FUNCTION aside.event_keep_groups(partition int) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its_id bigint;
BEGIN
    FOR its_id IN EXECUTE format('SELECT g.id FROM aside.event_group g WHERE g.ended IS NULL AND g.id IN (SELECT r.of_group FROM aside.event_group_%s r)', partition) LOOP
        UPDATE aside.event_group g SET events = g.events + c.events, done = g.done + c.done, dead = g.dead + c.dead,
                cancelled = g.cancelled + c.cancelled, expired = g.expired + c.expired
            FROM aside.event_group_counts(its_id, event_keep_groups.partition) c WHERE g.id = its_id;
    END LOOP;
    DELETE FROM aside.event_group g WHERE g.ended < clock_timestamp() - current_setting('aside.history_retention')::interval;
END $$;
COMMENT ON FUNCTION aside.event_keep_groups(int) IS 'Adds up what of groups is in a partition that is about to be emptied, and forgets groups that ended long ago.';

CREATE FUNCTION async_event_group(then_channel text, payload jsonb DEFAULT NULL) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_event_forward';
COMMENT ON FUNCTION async_event_group(text, jsonb) IS
    'Makes a group of events, and returns its number, for the argument "group" of async_event_emit. When the group is closed and all of its events have ended, one event with the payload, and with counts of how they ended, is emitted to the channel, exactly once.';
CREATE FUNCTION async_event_group_close(id bigint) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_event_forward';
COMMENT ON FUNCTION async_event_group_close(bigint) IS
    'Closes a group: no event comes into it any more. Waits for transactions that have emitted into it. Returns false if it was already closed.';
GRANT EXECUTE ON FUNCTION async_event_group(text, jsonb), async_event_group_close(bigint) TO aside_user;

CREATE VIEW aside.event_groups WITH (security_barrier) AS
    SELECT g.id, g.channel AS then_channel, g.payload, pg_catalog.pg_get_userbyid(g.owner) AS owner,
        CASE WHEN g.ended IS NOT NULL THEN 'ended' WHEN g.closed THEN 'closed' ELSE 'open' END AS state,
        g.events + coalesce(c.events, 0) AS events, g.done + coalesce(c.done, 0) AS done, g.dead + coalesce(c.dead, 0) AS dead,
        g.cancelled + coalesce(c.cancelled, 0) AS cancelled, g.expired + coalesce(c.expired, 0) AS expired, g.created, g.ended, g.event
    FROM aside.event_group g LEFT JOIN LATERAL (
        SELECT count(*) AS events, count(*) FILTER (WHERE f.state = 'done') AS done, count(*) FILTER (WHERE f.state = 'dead') AS dead,
            count(*) FILTER (WHERE f.state = 'cancelled') AS cancelled, count(*) FILTER (WHERE f.state = 'expired') AS expired
        FROM aside.event_group_fates f WHERE f.of_group = g.id) c ON g.ended IS NULL
    WHERE pg_catalog.pg_has_role(g.owner, 'USAGE') OR (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = current_user);
COMMENT ON VIEW aside.event_groups IS 'Groups of events that you may emit into: how many events they have, and how many of them have ended how. Groups that ended longer ago than aside.history_retention are not shown.';
COMMENT ON COLUMN aside.event_groups.id IS 'Number of the group.';
COMMENT ON COLUMN aside.event_groups.then_channel IS 'Channel of the event that is emitted when the group has ended.';
COMMENT ON COLUMN aside.event_groups.payload IS 'What that event carries, beside the counts.';
COMMENT ON COLUMN aside.event_groups.owner IS 'Role that made the group.';
COMMENT ON COLUMN aside.event_groups.state IS 'open: events may come into it; closed: they may not, and some have not ended; ended: all have, and the event was emitted, if the owner might.';
COMMENT ON COLUMN aside.event_groups.events IS 'Events of the group.';
COMMENT ON COLUMN aside.event_groups.done IS 'Events that were handled.';
COMMENT ON COLUMN aside.event_groups.dead IS 'Events that a handler failed to handle in all of its attempts.';
COMMENT ON COLUMN aside.event_groups.cancelled IS 'Events that were cancelled.';
COMMENT ON COLUMN aside.event_groups.expired IS 'Events that had not begun when their time was over.';
COMMENT ON COLUMN aside.event_groups.created IS 'Time when the group was made.';
COMMENT ON COLUMN aside.event_groups.ended IS 'Time when the event of the group was emitted.';
COMMENT ON COLUMN aside.event_groups.event IS 'Number of that event. NULL in a group that has ended: its owner might not emit to the channel any more.';
GRANT SELECT ON aside.event_groups TO aside_user;
