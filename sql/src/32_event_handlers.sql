-- Role: handlers of events are made, paused and ended. What users call (c-shim/sql/forward.c) forwards to the function of the same
-- name in aside, whose first argument is the role that asks.

CREATE FUNCTION aside.event_handler_of(caller oid, wanted text) RETURNS aside.event_handler LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    number bigint := aside.definition_locked(caller, 'handler', wanted);
    found aside.event_handler;
BEGIN
    SELECT * INTO found FROM aside.event_handler h WHERE h.id = number;
    RETURN found;
END $$;
COMMENT ON FUNCTION aside.event_handler_of(oid, text) IS 'Returns the handler of that name, if the role may change it. Raises 42704 or 42501 if not.';

CREATE FUNCTION aside.event_handler_end(number bigint) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ended aside.event_handler;
BEGIN
    DELETE FROM aside.event_dead d WHERE d.handler = number;
    DELETE FROM aside.event_past p WHERE p.handler = number;
    DELETE FROM aside.event_handler h WHERE h.id = number RETURNING * INTO ended;
    -- What waits and no other handler gets ends here, so its unique keys are free.
    DELETE FROM aside.event_unique u
        WHERE (u.channel = ended.channel OR u.channel IN (SELECT f.channel FROM jsonb_to_recordset(ended.former) f (channel text)))
            AND NOT EXISTS (SELECT FROM aside.event_addresses a WHERE a.channel = u.channel AND a.since < u.event AND u.event <= a.until);
END $$;
COMMENT ON FUNCTION aside.event_handler_end(bigint) IS 'Ends a handler. Deletes its dead events, its history, and the events that wait for it alone.';

-- Asked by the coordinator whenever it reads them. It waits for nobody.
CREATE FUNCTION aside.event_handlers_settle() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found aside.event_handler;
BEGIN
    PERFORM aside.event_handler_end(e.id) FROM aside.definitions_settle('handler') e (id);
    PERFORM aside.channels_settle();
    FOR found IN SELECT * FROM aside.event_handler h WHERE h.former IS NOT NULL FOR UPDATE SKIP LOCKED LOOP
        PERFORM aside.event_close_former(found);
    END LOOP;
END $$;
COMMENT ON FUNCTION aside.event_handlers_settle() IS 'Makes the table of handlers follow the proxies, and ends what handlers get of channels that they have left.';

CREATE FUNCTION aside.async_event_on(caller oid, channel text, handler regprocedure, command text, name text, concurrency int,
    batch_size int, max_attempts int, backoff interval, backoff_cap interval, timeout interval, ordered boolean, durable boolean,
    replace boolean, history interval, since timestamptz, rate_limit int, rate_period interval, key_concurrency int, pull boolean) RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found aside.event_handler;
    wanted aside.event_handler;
    collided boolean := false;
BEGIN
    LOOP
        wanted := NULL;
        wanted.name := coalesce(name, channel);
        IF replace AND EXISTS (SELECT FROM aside.event_handlers h WHERE h.name = wanted.name) THEN
            found := aside.event_handler_of(caller, wanted.name);
            wanted := found;
        ELSE
            found := NULL;
        END IF;
        wanted.channel := channel;
        wanted.concurrency := concurrency;
        wanted.batch_size := batch_size;
        wanted.max_attempts := max_attempts;
        wanted.backoff := backoff;
        wanted.backoff_cap := backoff_cap;
        wanted.timeout := timeout;
        wanted.ordered := ordered;
        wanted.durable := durable;
        wanted.history := history;
        wanted.rate_limit := rate_limit;
        wanted.rate_period := rate_period;
        wanted.key_concurrency := key_concurrency;
        IF found.id IS NOT NULL AND (found.form = 'p') <> coalesce(pull, false) THEN
            RAISE EXCEPTION 'cannot change event handler "%" to one that %', wanted.name, CASE WHEN pull THEN 'is pulled from' ELSE 'runs in workers' END
                USING ERRCODE = '0A000', HINT = 'End it with async_event_off(), and make a new one; the option "since" has it get earlier events.';
        END IF;
        wanted.form := CASE WHEN pull THEN 'p' END;
        PERFORM aside.event_check_options(wanted, handler, command);
        IF found.id IS NULL OR found.channel <> wanted.channel THEN
            PERFORM aside.channel_check(wanted.channel, coalesce(aside.definition_owner('handler', found.id, found.name), caller), false);
        END IF;
        IF found.id IS NOT NULL THEN
            PERFORM aside.event_handler_change(found, aside.event_with_function(wanted, handler, command,
                aside.definition_owner('handler', found.id, found.name)), NULL);
            RETURN wanted.name;
        END IF;
        IF NOT coalesce(pull, false) THEN
            PERFORM aside.definition_check_owner('handler', caller);
        END IF;
        wanted := aside.event_with_function(wanted, handler, command, caller);
        PERFORM aside.event_free_name(wanted.name);
        PERFORM aside.event_check_quotas(caller, wanted.channel, NULL);
        wanted.id := aside.definition_number('handler', wanted.name);
        BEGIN
            INSERT INTO aside.event_handler (id, name, channel, owner, handler, command, form, concurrency, batch_size, max_attempts,
                backoff, backoff_cap, timeout, ordered, durable, history, since, rate_limit, rate_period, key_concurrency) OVERRIDING SYSTEM VALUE
            VALUES (wanted.id, wanted.name, wanted.channel, pg_get_userbyid(caller), wanted.handler, wanted.command, wanted.form,
                wanted.concurrency, wanted.batch_size, wanted.max_attempts, wanted.backoff, wanted.backoff_cap, wanted.timeout,
                wanted.ordered, wanted.durable, wanted.history, aside.event_since(wanted.channel, since), wanted.rate_limit, wanted.rate_period,
                wanted.key_concurrency);
            RETURN wanted.name;
        EXCEPTION WHEN unique_violation THEN
            -- Somebody else has made it meanwhile, and committed.
            IF collided THEN
                RAISE;
            END IF;
            collided := true;
        END;
    END LOOP;
END $$;

CREATE FUNCTION aside.async_event_alter(caller oid, name text, channel text, handler regprocedure, command text, concurrency int,
    batch_size int, max_attempts int, backoff interval, backoff_cap interval, timeout interval, ordered boolean, durable boolean,
    owner regrole, new_name text, history interval, rate_limit int, rate_period interval, key_concurrency int) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found aside.event_handler := aside.event_handler_of(caller, name);
    wanted aside.event_handler := found;
    role oid := coalesce(owner, CASE WHEN NOT found.inert THEN aside.definition_owner('handler', found.id, found.name) END);
    unset regprocedure := CASE WHEN command IS NULL THEN to_regprocedure(found.handler) END;
BEGIN
    wanted.name := coalesce(new_name, found.name);
    wanted.channel := coalesce(channel, found.channel);
    wanted.concurrency := coalesce(concurrency, found.concurrency);
    wanted.batch_size := coalesce(batch_size, found.batch_size);
    wanted.max_attempts := coalesce(max_attempts, found.max_attempts);
    wanted.backoff := coalesce(backoff, found.backoff);
    wanted.backoff_cap := coalesce(backoff_cap, found.backoff_cap);
    wanted.timeout := CASE WHEN timeout = interval '0' THEN NULL ELSE coalesce(timeout, found.timeout) END;
    wanted.history := CASE WHEN history = interval '0' THEN NULL ELSE coalesce(history, found.history) END;
    wanted.rate_limit := CASE WHEN rate_limit = 0 THEN NULL ELSE coalesce(rate_limit, found.rate_limit) END;
    wanted.rate_period := coalesce(rate_period, found.rate_period);
    wanted.key_concurrency := CASE WHEN key_concurrency = 0 THEN NULL ELSE coalesce(key_concurrency, found.key_concurrency) END;
    wanted.ordered := coalesce(ordered, found.ordered);
    wanted.durable := coalesce(durable, found.durable);
    IF found.form = 'p' AND (handler IS NOT NULL OR command IS NOT NULL) THEN
        RAISE EXCEPTION 'cannot change event handler "%" to one that runs in workers', name
            USING ERRCODE = '0A000', HINT = 'End it with async_event_off(), and make a new one; the option "since" has it get earlier events.';
    END IF;
    IF handler IS NULL AND command IS NULL THEN
        PERFORM aside.event_check_options(wanted, NULL, '');
    ELSE
        PERFORM aside.event_check_options(wanted, handler, command);
        IF role IS NULL THEN
            RAISE EXCEPTION 'event handler "%" belongs to nobody', name USING ERRCODE = '55000',
                HINT = 'Give it an owner with the argument "owner".';
        END IF;
        wanted := aside.event_with_function(wanted, handler, command, role);
    END IF;
    IF wanted.channel <> found.channel OR owner IS NOT NULL THEN
        PERFORM aside.channel_check(wanted.channel, role, false);
    END IF;
    IF owner IS NOT NULL THEN
        IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = caller AND (r.rolsuper OR pg_has_role(caller, owner, 'USAGE'))) THEN
            RAISE EXCEPTION 'must have the privileges of role %', owner USING ERRCODE = '42501',
                DETAIL = 'An event handler runs as its owner.';
        END IF;
        IF found.form <> 'p' THEN
            PERFORM aside.definition_check_owner('handler', owner);
        END IF;
        IF handler IS NULL AND unset IS NOT NULL AND NOT has_function_privilege(owner, unset, 'EXECUTE') THEN
            RAISE EXCEPTION 'permission denied for function %', unset USING ERRCODE = '42501',
                DETAIL = format('Role %s is to own the event handler, and cannot execute its function.', owner);
        END IF;
        IF NOT found.inert AND owner = aside.definition_owner('handler', found.id, found.name) THEN
            owner := NULL;
        ELSE
            PERFORM aside.event_check_quotas(owner, NULL, found.id);
        END IF;
    END IF;
    IF wanted.name <> found.name THEN
        PERFORM aside.event_free_name(wanted.name);
        PERFORM aside.definition_end('handler', found.id, wanted.name);
    END IF;
    RETURN aside.event_handler_change(found, wanted, owner);
END $$;

CREATE FUNCTION aside.async_event_off(caller oid, name text) RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM aside.event_handler_end(aside.definition_locked(caller, 'handler', name));
    RETURN true;
END $$;
CREATE FUNCTION aside.async_event_pause(caller oid, name text) RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found aside.event_handler := aside.event_handler_of(caller, name);
BEGIN
    UPDATE aside.event_handler h SET paused = true, version = h.version + 1 WHERE h.id = found.id;
    RETURN NOT found.paused;
END $$;
CREATE FUNCTION aside.async_event_resume(caller oid, name text) RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found aside.event_handler := aside.event_handler_of(caller, name);
BEGIN
    UPDATE aside.event_handler h SET paused = false, version = h.version + 1 WHERE h.id = found.id;
    RETURN found.paused;
END $$;

COMMENT ON FUNCTION aside.async_event_on(oid, text, regprocedure, text, text, int, int, int, interval, interval, interval, boolean, boolean, boolean, interval, timestamptz, int, interval, int, boolean) IS
    'Does the work of async_event_on for the role given first.';
COMMENT ON FUNCTION aside.async_event_alter(oid, text, text, regprocedure, text, int, int, int, interval, interval, interval, boolean, boolean, regrole, text, interval, int, interval, int) IS
    'Does the work of async_event_alter for the role given first.';
COMMENT ON FUNCTION aside.async_event_off(oid, text) IS 'Does the work of async_event_off for the role given first.';
COMMENT ON FUNCTION aside.async_event_pause(oid, text) IS 'Does the work of async_event_pause for the role given first.';
COMMENT ON FUNCTION aside.async_event_resume(oid, text) IS 'Does the work of async_event_resume for the role given first.';

CREATE FUNCTION async_event_on(channel text, handler regprocedure DEFAULT NULL, command text DEFAULT NULL, name text DEFAULT NULL,
    concurrency int DEFAULT 1, batch_size int DEFAULT 1, max_attempts int DEFAULT 5, backoff interval DEFAULT '1 second',
    backoff_cap interval DEFAULT '1 hour', timeout interval DEFAULT NULL, ordered boolean DEFAULT false, durable boolean DEFAULT false,
    replace boolean DEFAULT false, history interval DEFAULT NULL, since timestamptz DEFAULT NULL, rate_limit int DEFAULT NULL,
    rate_period interval DEFAULT '1 second', key_concurrency int DEFAULT NULL, pull boolean DEFAULT false)
RETURNS text LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_event_forward';
CREATE FUNCTION async_event_alter(name text, channel text DEFAULT NULL, handler regprocedure DEFAULT NULL, command text DEFAULT NULL,
    concurrency int DEFAULT NULL, batch_size int DEFAULT NULL, max_attempts int DEFAULT NULL, backoff interval DEFAULT NULL,
    backoff_cap interval DEFAULT NULL, timeout interval DEFAULT NULL, ordered boolean DEFAULT NULL, durable boolean DEFAULT NULL,
    owner regrole DEFAULT NULL, new_name text DEFAULT NULL, history interval DEFAULT NULL, rate_limit int DEFAULT NULL,
    rate_period interval DEFAULT NULL, key_concurrency int DEFAULT NULL)
RETURNS boolean LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_event_forward';
CREATE FUNCTION async_event_off(name text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_event_forward';
CREATE FUNCTION async_event_pause(name text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_event_forward';
CREATE FUNCTION async_event_resume(name text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_event_forward';

COMMENT ON FUNCTION async_event_on(text, regprocedure, text, text, int, int, int, interval, interval, interval, boolean, boolean, boolean, interval, timestamptz, int, interval, int, boolean) IS
    'Creates a handler: the server runs the function or command, as the current role, for each event of the channel and each NOTIFY on it. Returns the handler''s name. A name that is taken raises 42710; with replace, that handler gets these options, and keeps its owner and its events. With pull, there is neither function nor command: consumers take the events with async_event_pull.';
COMMENT ON FUNCTION async_event_alter(text, text, regprocedure, text, int, int, int, interval, interval, interval, boolean, boolean, regrole, text, interval, int, interval, int) IS
    'Changes options of a handler, its owner or its name. NULL means unchanged; zero for a timeout, a history, a rate_limit or a key_concurrency means none. Waiting events, attempts and order stay. Returns false if nothing was changed.';
COMMENT ON FUNCTION async_event_off(text) IS
    'Ends a handler. Drops the events that wait for it, and its dead events. Raises 42704 if there is no such handler.';
COMMENT ON FUNCTION async_event_pause(text) IS 'Pauses a handler: no event begins for it any more. Returns false if it was already paused.';
COMMENT ON FUNCTION async_event_resume(text) IS 'Resumes a paused handler. Returns false if it was not paused.';

GRANT EXECUTE ON FUNCTION
    async_event_on(text, regprocedure, text, text, int, int, int, interval, interval, interval, boolean, boolean, boolean, interval, timestamptz, int, interval, int, boolean),
    async_event_alter(text, text, regprocedure, text, int, int, int, interval, interval, interval, boolean, boolean, regrole, text, interval, int, interval, int),
    async_event_off(text), async_event_pause(text), async_event_resume(text)
TO aside_user;
