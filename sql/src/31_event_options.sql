-- Role: what a handler of events may be: its options are checked, and a change of them is written.

CREATE FUNCTION aside.event_check_options(wanted aside.event_handler, handler regprocedure, command text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF wanted.channel IS NULL OR wanted.channel = '' THEN
        RAISE EXCEPTION 'channel of an event handler must not be null or empty' USING ERRCODE = '22004';
    END IF;
    PERFORM aside.definition_check_name('handler', wanted.name);
    IF octet_length(wanted.channel) > 2000 THEN
        RAISE EXCEPTION 'channel name is too long' USING ERRCODE = '54000',
            DETAIL = format('It has %s bytes; the limit for a handler is 2000.', octet_length(wanted.channel));
    END IF;
    -- Events may have longer ones.
    IF octet_length(wanted.channel) > 63 AND wanted.durable THEN
        RAISE EXCEPTION 'channel name is too long' USING ERRCODE = '22023',
            DETAIL = format('It has %s bytes. NOTIFY allows at most 63, so this handler would have no notification to record.',
                octet_length(wanted.channel)),
            HINT = 'Use a shorter channel name, or set the option "durable" to false.';
    END IF;
    IF wanted.form = 'p' THEN
        IF handler IS NOT NULL OR command <> '' THEN
            RAISE EXCEPTION 'an event handler that is pulled from has neither a function nor a command' USING ERRCODE = '22023',
                HINT = 'Set either the option "pull", or one of "handler" and "command".';
        END IF;
    ELSIF (handler IS NULL) = (command IS NULL) THEN
        RAISE EXCEPTION 'an event handler must have either a function or a command' USING ERRCODE = '22023',
            HINT = 'Give exactly one of the arguments "handler" and "command", or set "pull".';
    END IF;
    PERFORM aside.check_options(format('event handler "%s"', wanted.name), ARRAY[
        ['concurrency', wanted.concurrency::text, (wanted.concurrency >= 1)::text, 'at least 1'],
        ['batch_size', wanted.batch_size::text, (wanted.batch_size >= 1)::text, 'at least 1'],
        ['max_attempts', wanted.max_attempts::text, (wanted.max_attempts >= 1)::text, 'at least 1'],
        ['backoff', wanted.backoff::text, (wanted.backoff >= interval '0')::text, 'zero or longer'],
        ['backoff_cap', wanted.backoff_cap::text, (wanted.backoff_cap >= interval '0')::text, 'zero or longer'],
        ['timeout', wanted.timeout::text, (wanted.timeout IS NULL OR wanted.timeout > interval '0')::text, 'longer than zero, or null for no timeout'],
        ['history', wanted.history::text, (wanted.history IS NULL OR wanted.history > interval '0')::text, 'longer than zero, or null for no history'],
        ['rate_limit', wanted.rate_limit::text, (wanted.rate_limit IS NULL OR wanted.rate_limit >= 1)::text, 'at least 1, or null for no limit'],
        ['rate_period', wanted.rate_period::text, (wanted.rate_period > interval '0')::text, 'longer than zero'],
        ['key_concurrency', wanted.key_concurrency::text, (wanted.key_concurrency IS NULL OR wanted.key_concurrency >= 1)::text, 'at least 1, or null for no limit'],
        ['key_concurrency', wanted.key_concurrency::text, (wanted.key_concurrency IS NULL OR wanted.key_concurrency = 1 OR NOT coalesce(wanted.ordered, false))::text,
            'null or 1 for an ordered handler'],
        ['ordered', wanted.ordered::text, (wanted.ordered IS NOT NULL)::text, 'true or false'],
        ['durable', wanted.durable::text, (wanted.durable IS NOT NULL)::text, 'true or false']]);
END $$;
COMMENT ON FUNCTION aside.event_check_options(aside.event_handler, regprocedure, text) IS 'Raises an error if no handler can have these options.';

CREATE FUNCTION aside.event_with_function(wanted aside.event_handler, called regprocedure, ran text, role oid) RETURNS aside.event_handler
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    of_function pg_proc;
BEGIN
    wanted.command := ran;
    IF called IS NULL THEN
        wanted.form := CASE WHEN wanted.form = 'p' THEN 'p' ELSE 'c' END;
        wanted.handler := NULL;
        wanted.function := NULL;
        wanted.function_owner := NULL;
        RETURN wanted;
    END IF;
    SELECT * INTO of_function FROM pg_proc p WHERE p.oid = called;
    IF NOT has_function_privilege(role, called, 'EXECUTE') THEN
        RAISE EXCEPTION 'permission denied for function %', called USING ERRCODE = '42501';
    END IF;
    wanted.form := CASE
        WHEN of_function.prokind <> 'f' OR of_function.pronargs <> 1 THEN NULL
        WHEN of_function.proargtypes[0] = 'aside.event'::regtype THEN 'e'
        WHEN of_function.proargtypes[0] = 'aside.event[]'::regtype THEN 'a'
        WHEN of_function.proargtypes[0] = 'jsonb'::regtype THEN 'j'
        WHEN of_function.proargtypes[0] = 'text'::regtype THEN 't'
    END;
    IF wanted.form IS NULL THEN
        RAISE EXCEPTION 'function % cannot handle events', called USING ERRCODE = '42P13',
            HINT = 'Use a function with one argument, of type aside.event, aside.event[], jsonb or text.';
    END IF;
    SELECT format('%I.%I(%s)', n.nspname, of_function.proname, format_type(of_function.proargtypes[0], NULL))
        INTO wanted.handler FROM pg_namespace n WHERE n.oid = of_function.pronamespace;
    wanted.function := called;
    wanted.function_owner := of_function.proowner;
    RETURN wanted;
END $$;
COMMENT ON FUNCTION aside.event_with_function(aside.event_handler, regprocedure, text, oid) IS
    'Returns a handler with this function or command. Raises an error if the role cannot have the function handle events.';

-- Names of handlers whose owners have given them up are free.
CREATE FUNCTION aside.event_free_name(wanted text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ended bigint;
BEGIN
    SELECT h.id INTO ended FROM aside.event_handler h
        WHERE h.name = wanted AND NOT h.inert AND aside.definition_owner('handler', h.id, h.name) IS NULL FOR UPDATE;
    IF FOUND THEN
        PERFORM aside.event_handler_end(ended);
    END IF;
    IF EXISTS (SELECT FROM aside.event_handler h WHERE h.name = wanted) THEN
        RAISE EXCEPTION 'event handler "%" already exists', wanted USING ERRCODE = '42710',
            HINT = 'Choose another name with the argument "name", or end that handler with async_event_off().';
    END IF;
END $$;
COMMENT ON FUNCTION aside.event_free_name(text) IS 'Raises an error if another handler has this name.';

CREATE FUNCTION aside.event_check_quotas(role oid, wanted_channel text, but bigint) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    quota int := current_setting('aside.max_handlers_per_role')::int;
BEGIN
    IF quota > 0 AND role IS NOT NULL
        AND (SELECT count(*) FROM aside.event_handlers h WHERE h.role = event_check_quotas.role AND h.id IS DISTINCT FROM but) >= quota THEN
        RAISE EXCEPTION 'too many event handlers of role "%"', pg_get_userbyid(role) USING ERRCODE = '53400',
            DETAIL = format('The limit is %s.', quota), HINT = 'Consider increasing "aside.max_handlers_per_role".';
    END IF;
    quota := current_setting('aside.max_handlers_per_channel')::int;
    IF quota > 0 AND wanted_channel IS NOT NULL
        AND (SELECT count(*) FROM aside.event_handlers h WHERE h.channel = wanted_channel AND h.id IS DISTINCT FROM but) >= quota THEN
        RAISE EXCEPTION 'too many event handlers of channel "%"', wanted_channel USING ERRCODE = '53400',
            DETAIL = format('The limit is %s.', quota), HINT = 'Consider increasing "aside.max_handlers_per_channel".';
    END IF;
END $$;
COMMENT ON FUNCTION aside.event_check_quotas(oid, text, bigint) IS
    'Raises an error if the role, or the channel, has as many handlers as it may have, the given one aside.';

-- A channel that was left: its events are for the handler until the coordinator knows of the change (until), and are of account
-- until none of them can come any more (seen).
CREATE FUNCTION aside.event_close_former(found aside.event_handler) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last bigint;
    past xid8;
    kept jsonb;
BEGIN
    IF found.former @> '[{"until": null}]' THEN
        last := aside.event_next_id();
    END IF;
    past := pg_snapshot_xmax(pg_current_snapshot());
    SELECT jsonb_agg(CASE WHEN f.until IS NULL THEN jsonb_build_object('channel', f.channel, 'since', f.since, 'until', last, 'seen', past)
            ELSE f.entry END ORDER BY f.since) INTO kept
        FROM (SELECT e AS entry, e ->> 'channel' AS channel, (e ->> 'since')::bigint AS since, (e ->> 'until')::bigint AS until,
                (e ->> 'seen')::xid8 AS seen FROM jsonb_array_elements(found.former) e) f
        WHERE f.until IS NULL OR f.seen > pg_snapshot_xmin(pg_current_snapshot())
            OR EXISTS (SELECT FROM aside.event_rows e WHERE e.id > f.since AND e.id <= f.until AND e.channel = f.channel);
    IF kept IS DISTINCT FROM found.former THEN
        UPDATE aside.event_handler h SET former = kept, version = h.version + 1 WHERE h.id = found.id;
    END IF;
END $$;
COMMENT ON FUNCTION aside.event_close_former(aside.event_handler) IS 'Ends what a handler gets of channels that it has left, and forgets those that have nothing for it.';

-- Waits for nobody but those who change the same handler; what waits, and what was attempted, is not touched.
CREATE FUNCTION aside.event_handler_change(was aside.event_handler, wanted aside.event_handler, new_owner regrole) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    other_function boolean := (was.handler, was.command, was.function, was.function_owner)
        IS DISTINCT FROM (wanted.handler, wanted.command, wanted.function, wanted.function_owner);
BEGIN
    IF wanted.channel <> was.channel THEN
        PERFORM aside.event_check_quotas(NULL, wanted.channel, was.id);
        wanted.closed := false;
        wanted.since := aside.event_next_id();
        wanted.former := (SELECT jsonb_agg(CASE WHEN f ->> 'until' IS NULL AND f ->> 'channel' = wanted.channel
                    THEN f || jsonb_build_object('until', wanted.since, 'seen', pg_snapshot_xmax(pg_current_snapshot())) ELSE f END)
                FROM jsonb_array_elements(coalesce(was.former, '[]')
                    || jsonb_build_object('channel', was.channel, 'since', was.since, 'until', NULL)) f);
    END IF;
    IF wanted IS NOT DISTINCT FROM was AND new_owner IS NULL THEN
        RETURN false;
    END IF;
    IF other_function THEN
        UPDATE aside.event_handler h SET handler = wanted.handler, command = wanted.command, form = wanted.form WHERE h.id = was.id;
    END IF;
    UPDATE aside.event_handler h SET name = wanted.name, channel = wanted.channel, closed = wanted.closed, since = wanted.since, former = wanted.former,
        concurrency = wanted.concurrency, batch_size = wanted.batch_size, max_attempts = wanted.max_attempts, backoff = wanted.backoff,
        backoff_cap = wanted.backoff_cap, timeout = wanted.timeout, ordered = wanted.ordered, durable = wanted.durable,
        history = wanted.history, rate_limit = wanted.rate_limit, rate_period = wanted.rate_period, key_concurrency = wanted.key_concurrency,
        version = h.version + 1
        WHERE h.id = was.id;
    IF new_owner IS NOT NULL THEN
        -- Its row may have the name of an earlier owner; that is no change of its owner.
        UPDATE aside.event_handler h SET owner = pg_get_userbyid(aside.definition_owner('handler', h.id, h.name))
            WHERE h.id = was.id AND NOT h.inert;
        UPDATE aside.event_handler h SET owner = pg_get_userbyid(new_owner), inert = false WHERE h.id = was.id;
    END IF;
    RETURN true;
END $$;
COMMENT ON FUNCTION aside.event_handler_change(aside.event_handler, aside.event_handler, regrole) IS
    'Writes a handler as it is wanted, and its new owner, if there is one. Returns false if nothing was changed.';

-- The number that a handler's events are above, if it is to get events from that time on.
CREATE FUNCTION aside.event_since(wanted_channel text, since timestamptz) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF since > clock_timestamp() THEN
        RAISE EXCEPTION 'option "since" of an event handler is out of range' USING ERRCODE = '22023',
            DETAIL = format('It is %s, but must not be in the future.', since);
    END IF;
    RETURN coalesce((SELECT min(e.id) - 1 FROM aside.event_rows e
        WHERE e.channel = wanted_channel AND e.command IS NULL AND e.target IS NULL AND e.emitted >= since), aside.event_next_id());
END $$;
COMMENT ON FUNCTION aside.event_since(text, timestamptz) IS
    'Returns the id after which a new handler of a channel gets events: those emitted at that time or later, or from now on.';
