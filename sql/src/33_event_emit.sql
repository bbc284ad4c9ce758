-- Role: events are emitted, cancelled and emitted again. What users call is in c-shim/sql/emit.c and c-shim/sql/forward.c.

CREATE FUNCTION aside.event_put(channel text, payload jsonb, key text, priority int, headers jsonb, emitted_by oid, target bigint,
    command text, unique_key text DEFAULT NULL, id bigint DEFAULT aside.event_next_id(), max_attempts int DEFAULT NULL, timeout_ms int DEFAULT NULL,
    depth int DEFAULT 0, key_until_start boolean DEFAULT NULL) RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('INSERT INTO aside.event_%s (id, txid, channel, payload, key, priority, headers, emitted, emitted_by, target, command, unique_key, max_attempts, timeout_ms, depth,
            key_until_start)
        VALUES ($1, pg_current_xact_id(), $2, $3, $4, $5, $6, clock_timestamp(), $7, $8, $9, $10, $11, $12, $13, $14)',
        (SELECT c.partition FROM aside.event_control c))
    USING id, channel, payload, key, priority, headers, emitted_by, target, command, unique_key, max_attempts, timeout_ms, depth, key_until_start;
    RETURN id;
END $$;
COMMENT ON FUNCTION aside.event_put(text, jsonb, text, int, jsonb, oid, bigint, text, text, bigint, int, int, int, boolean) IS
    'Emits events that async_event_emit does not: commands to the coordinator, and dead events again.';

-- Plans are kept: one that was made while the table was small must not scan it when it is large.
CREATE FUNCTION aside.event_claim_key(channel text, unique_key text, id bigint, conflict text, caller oid) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
    other bigint;
BEGIN
    LOOP
        INSERT INTO aside.event_unique AS u VALUES (channel, unique_key, id, caller) ON CONFLICT DO NOTHING;
        IF FOUND THEN
            RETURN 0;
        END IF;
        -- Nobody is to wait for a transaction that has only looked.
        IF conflict = 'replace' THEN
            SELECT u.event INTO other FROM aside.event_unique u WHERE u.channel = event_claim_key.channel
                AND u.unique_key = event_claim_key.unique_key AND u.emitted_by = caller FOR UPDATE;
        ELSE
            SELECT u.event INTO other FROM aside.event_unique u WHERE u.channel = event_claim_key.channel
                AND u.unique_key = event_claim_key.unique_key AND u.emitted_by = caller;
        END IF;
        CONTINUE WHEN other IS NULL;
        IF conflict = 'keep' THEN
            RETURN other;
        ELSIF conflict = 'reject' THEN
            RAISE EXCEPTION 'an event with unique key "%" has not ended yet', unique_key USING ERRCODE = '23505',
                DETAIL = format('It is event %s of channel "%s".', other, channel),
                HINT = 'Set the argument "on_conflict" to "keep" or "replace", or emit the event when that one has ended.';
        END IF;
        UPDATE aside.event_unique u SET event = id WHERE u.channel = event_claim_key.channel
            AND u.unique_key = event_claim_key.unique_key AND u.emitted_by = caller;
        PERFORM aside.event_put('', to_jsonb(other), NULL, 0, NULL, 0, NULL, 'cancel');
        RETURN 0;
    END LOOP;
END $$;
COMMENT ON FUNCTION aside.event_claim_key(text, text, bigint, text, oid) IS
    'Gives a unique key of an emitter to an event, and returns 0. If another event keeps the key, returns that event''s id.';

-- Keys come and go row by row. Where others keep old snapshots alive no vacuum helps, so the table is written anew.
CREATE FUNCTION aside.event_unique_compact() RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $$
DECLARE
    size bigint := pg_total_relation_size('aside.event_unique');
    percent float8;
    live float8;
    kept aside.event_unique[];
BEGIN
    IF size < 500000 THEN
        RETURN;
    END IF;
    -- By some 1 MB of it. With its indexes, a row takes up to four times as much as it has; many rows are too much to carry.
    percent := least(100, 100 * 1e6 / greatest(pg_relation_size('aside.event_unique'), 1));
    SELECT coalesce(sum(pg_column_size(u.*)), 0) * 100 / percent INTO live FROM aside.event_unique u TABLESAMPLE SYSTEM (percent);
    IF live > least(size / 4, 64e6) THEN
        RETURN;
    END IF;
    LOCK TABLE aside.event_unique IN ACCESS EXCLUSIVE MODE;
    kept := ARRAY(SELECT u FROM aside.event_unique u);
    PERFORM aside.event_truncate('event_unique');
    INSERT INTO aside.event_unique SELECT k.* FROM unnest(kept) k;
END $$;
COMMENT ON FUNCTION aside.event_unique_compact() IS 'Rewrites the table of unique keys if most of its space is taken by keys that are free again.';

-- Each of these tables is gone through once, and the log by its rows: an index on the id would cost each emitted event more.
CREATE FUNCTION aside.async_event_cancel(caller oid, id bigint) RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    emitter oid;
    its_channel text;
    its_target bigint;
    ended bigint[];
    had_key boolean;
    its_handler bigint;
    may_run boolean;
    is_handled boolean := false;
    cancelled boolean := false;
BEGIN
    IF id IS NULL THEN
        RAISE EXCEPTION 'event id must not be null' USING ERRCODE = '22004';
    END IF;
    SELECT e.emitted_by, e.channel, e.target INTO emitter, its_channel, its_target FROM aside.event_rows e
        WHERE e.id = async_event_cancel.id AND (e.command IS NULL OR e.command = 'notify');
    IF emitter IS NULL THEN
        RETURN false;
    END IF;
    ended := ARRAY(SELECT o.handler FROM (SELECT l.handler, l.kind, l.events FROM aside.event_log_0 l
            UNION ALL SELECT l.handler, l.kind, l.events FROM aside.event_log_1 l
            UNION ALL SELECT l.handler, l.kind, l.events FROM aside.event_log_2 l) o
        WHERE aside.event_kind_ends(o.kind) AND async_event_cancel.id = ANY (o.events));
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = caller AND (r.rolsuper OR pg_has_role(caller, emitter, 'USAGE'))) THEN
        -- Who has a handler of it cancels it for that.
        FOR its_handler, may_run IN SELECT h.handler_id, h.handler_id <> ALL (ended) FROM aside.event_handled_by h
            WHERE h.by = aside.event_by(its_channel, its_target) AND h.since < async_event_cancel.id
                AND async_event_cancel.id <= h.until AND pg_has_role(caller, h.handler_owner, 'USAGE') LOOP
            IF may_run THEN
                PERFORM aside.event_put('', to_jsonb(id), NULL, 0, NULL, caller, its_handler, 'cancel');
            END IF;
            is_handled := true;
            cancelled := cancelled OR may_run;
        END LOOP;
        IF NOT is_handled THEN
            RAISE EXCEPTION 'permission denied for event %', id USING ERRCODE = '42501',
                DETAIL = 'Another role emitted it, and you have no handler that handles it.';
        END IF;
        RETURN cancelled;
    END IF;
    -- Free from here on, also for an event of this transaction. Of one that is just being replaced nobody waits for the key.
    DELETE FROM aside.event_unique u WHERE u.ctid = ANY (ARRAY(SELECT k.ctid FROM aside.event_unique k
        WHERE k.event = async_event_cancel.id FOR UPDATE SKIP LOCKED));
    had_key := FOUND;
    IF NOT EXISTS (SELECT FROM aside.event_handled_by h WHERE h.handler_id <> ALL (ended)
            AND h.by = aside.event_by(its_channel, its_target) AND h.since < async_event_cancel.id AND async_event_cancel.id <= h.until) THEN
        -- It waits for nobody, but may still have its unique key.
        RETURN had_key;
    END IF;
    PERFORM aside.event_put('', to_jsonb(id), NULL, 0, NULL, caller, NULL, 'cancel');
    RETURN true;
END $$;

CREATE FUNCTION aside.async_event_redrive(caller oid, name text, ids bigint[]) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found aside.event_handler := aside.event_handler_of(caller, name);
    dead aside.event_dead;
    new_id bigint;
    emitter oid;
    other bigint;
    count bigint := 0;
BEGIN
    IF cardinality(ids) > 65535 THEN
        RAISE EXCEPTION 'too many events to emit again' USING ERRCODE = '54000',
            DETAIL = format('%s ids were given; the limit is 65535.', cardinality(ids)),
            HINT = 'Call the function several times, or with null for all dead events of the handler.';
    END IF;
    FOR dead IN SELECT * FROM aside.event_dead d WHERE d.handler = found.id AND (ids IS NULL OR d.id = ANY (ids)) ORDER BY d.id FOR UPDATE LOOP
        new_id := aside.event_next_id();
        emitter := coalesce((SELECT r.oid FROM pg_roles r WHERE r.rolname = dead.emitted_by), 0);
        IF dead.unique_key IS NOT NULL THEN
            other := aside.event_claim_key(dead.channel, dead.unique_key, new_id, 'keep',
                CASE WHEN (SELECT o.id FROM aside.channel_owner(dead.channel) o) IS NULL THEN emitter ELSE 0 END);
            IF other <> 0 AND ids IS NOT NULL THEN
                RAISE EXCEPTION 'cannot redrive event %: an event with unique key "%" has not ended yet', dead.id, dead.unique_key
                    USING ERRCODE = '23505', DETAIL = format('It is event %s of channel "%s".', other, dead.channel);
            ELSIF other <> 0 THEN
                RAISE NOTICE 'a dead event stays dead: another event with unique key "%" has not ended yet', dead.unique_key
                    USING DETAIL = format('Event %s has the key that event %s had.', other, dead.id);
                CONTINUE;
            END IF;
        END IF;
        DELETE FROM aside.event_dead d WHERE d.id = dead.id AND d.handler = found.id;
        PERFORM aside.event_put(dead.channel, dead.payload, dead.key, dead.priority,
            coalesce(dead.headers, '{}') || jsonb_build_object('redriven', dead.id), emitter, found.id,
            CASE WHEN dead.emitted_by IS NULL THEN 'notify' END, dead.unique_key, new_id, dead.max_attempts, dead.timeout_ms,
            key_until_start => dead.key_until_start);
        count := count + 1;
    END LOOP;
    RETURN count;
END $$;

-- The row stays in its partition, and with it what the log says of it.
CREATE FUNCTION aside.async_event_update(caller oid, id bigint, payload jsonb, run_at timestamptz, priority int) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
    emitter oid;
    its_channel text;
    its_target bigint;
    partition int;
    tried bigint[];
BEGIN
    IF id IS NULL THEN
        RAISE EXCEPTION 'event id must not be null' USING ERRCODE = '22004';
    END IF;
    IF NOT isfinite(run_at) THEN
        RAISE EXCEPTION 'time of an event must not be infinity' USING ERRCODE = '22023';
    END IF;
    -- The coordinator may carry it over meanwhile.
    FOR attempt IN 0 .. 1 LOOP
        FOR i IN 0 .. 2 LOOP
            EXECUTE format('SELECT e.emitted_by, e.channel, e.target FROM aside.event_%s e WHERE e.id = $1 AND e.command IS NULL FOR UPDATE', i)
                INTO emitter, its_channel, its_target USING id;
            IF emitter IS NOT NULL THEN
                partition := i;
                EXIT;
            END IF;
        END LOOP;
        EXIT WHEN partition IS NOT NULL;
    END LOOP;
    IF partition IS NULL THEN
        RETURN false;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = caller AND (r.rolsuper OR pg_has_role(caller, emitter, 'USAGE'))) THEN
        RAISE EXCEPTION 'permission denied for event %', id USING ERRCODE = '42501', DETAIL = 'Another role emitted it.';
    END IF;
    SELECT array_agg(h.handler_id) FILTER (WHERE f.next_at IS NOT NULL) INTO tried
        FROM aside.event_handled_by h LEFT JOIN aside.event_fates f ON f.of_event = async_event_update.id AND f.by_handler = h.handler_id
        WHERE h.by = aside.event_by(its_channel, its_target) AND h.since < async_event_update.id AND async_event_update.id <= h.until
            AND aside.event_state(f.done, f.dead, f.cancelled, f.expired, f.begun, f.ended, f.failed, NULL) IN ('waiting', 'retrying')
        HAVING count(*) > 0;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    EXECUTE format('UPDATE aside.event_%s e SET payload = coalesce($2, e.payload), run_at = coalesce($3, e.run_at), priority = coalesce($4, e.priority),
            txid = pg_current_xact_id(), first_txid = coalesce(e.first_txid, e.txid),
            timed_txid = CASE WHEN $3 IS NULL THEN e.timed_txid ELSE pg_current_xact_id() END
        WHERE e.id = $1 AND e.command IS NULL', partition) USING id, payload, run_at, priority;
    IF run_at IS NOT NULL AND tried IS NOT NULL THEN
        EXECUTE format('INSERT INTO aside.event_log_%s (handler, kind, events, next_at) SELECT h, ''u'', ARRAY[$1], $2 FROM unnest($3) h', partition)
            USING id, run_at, tried;
    END IF;
    RETURN true;
END $$;
COMMENT ON FUNCTION aside.async_event_update(oid, bigint, jsonb, timestamptz, int) IS 'Does the work of async_event_update for the role given first.';

CREATE FUNCTION aside.async_event_purge(caller oid, name text, older interval) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found aside.event_handler := aside.event_handler_of(caller, name);
    count bigint;
BEGIN
    IF older < interval '0' THEN
        RAISE EXCEPTION 'argument "older" must not be negative' USING ERRCODE = '22023';
    END IF;
    DELETE FROM aside.event_dead d WHERE d.handler = found.id AND (older IS NULL OR d.died < clock_timestamp() - older);
    GET DIAGNOSTICS count = ROW_COUNT;
    RETURN count;
END $$;

COMMENT ON FUNCTION aside.async_event_cancel(oid, bigint) IS 'Does the work of async_event_cancel for the role given first.';
COMMENT ON FUNCTION aside.async_event_redrive(oid, text, bigint[]) IS 'Does the work of async_event_redrive for the role given first.';
COMMENT ON FUNCTION aside.async_event_purge(oid, text, interval) IS 'Does the work of async_event_purge for the role given first.';

CREATE FUNCTION async_event_emit(channel text, payload jsonb DEFAULT NULL, key text DEFAULT NULL, delay interval DEFAULT NULL,
    run_at timestamptz DEFAULT NULL, priority int DEFAULT 0, unique_key text DEFAULT NULL, on_conflict text DEFAULT 'reject',
    headers jsonb DEFAULT NULL, max_attempts int DEFAULT NULL, timeout interval DEFAULT NULL, expires interval DEFAULT NULL,
    unique_until text DEFAULT 'end', "group" bigint DEFAULT NULL) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_event_emit';
CREATE FUNCTION async_event_update(id bigint, payload jsonb DEFAULT NULL, run_at timestamptz DEFAULT NULL, priority int DEFAULT NULL) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_event_forward';
CREATE FUNCTION async_event_snooze(delay interval DEFAULT NULL, until timestamptz DEFAULT NULL) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_event_snooze';
CREATE FUNCTION async_event_discard(reason text) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_event_discard';
CREATE FUNCTION async_event_cancel(id bigint) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_event_forward';
CREATE FUNCTION async_event_redrive(name text, ids bigint[] DEFAULT NULL) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_event_forward';
CREATE FUNCTION async_event_purge(name text, older interval DEFAULT NULL) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_event_forward';

COMMENT ON FUNCTION async_event_update(bigint, jsonb, timestamptz, int) IS
    'Changes payload, time or priority of an event that waits. NULL means unchanged. Returns false if it waits for no handler. An attempt that has begun goes on with what it has.';
COMMENT ON FUNCTION async_event_snooze(interval, timestamptz) IS
    'Within a handler: the event comes again after the delay, or at the time. What the handler does commits, and no attempt is counted.';
COMMENT ON FUNCTION async_event_discard(text) IS
    'Within a handler: raises an error, and the event is dead at once, whatever attempts are left.';
COMMENT ON FUNCTION async_event_emit(text, jsonb, text, interval, timestamptz, int, text, text, jsonb, int, interval, interval, text, bigint) IS
    'Emits an event, which takes effect when the transaction commits: each handler of the channel then handles it, with its effects exactly once. Returns the event''s id.';
COMMENT ON FUNCTION async_event_cancel(bigint) IS
    'Cancels an event when the transaction commits, and frees its unique key. Returns false if the event has ended, or does not exist.';

COMMENT ON FUNCTION async_event_redrive(text, bigint[]) IS
    'Emits dead events of a handler again, for that handler alone. NULL means all of them. Returns how many.';

COMMENT ON FUNCTION async_event_purge(text, interval) IS
    'Deletes the dead events of a handler that died longer ago than that. NULL means all of them. Returns how many.';

GRANT EXECUTE ON FUNCTION
    async_event_emit(text, jsonb, text, interval, timestamptz, int, text, text, jsonb, int, interval, interval, text, bigint),
    async_event_update(bigint, jsonb, timestamptz, int), async_event_snooze(interval, timestamptz), async_event_discard(text),
    async_event_cancel(bigint), async_event_redrive(text, bigint[]), async_event_purge(text, interval)
TO aside_user;
