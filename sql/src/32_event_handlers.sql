-- Role: handlers of events are made, paused and ended. What users call (c-shim/sql/event.c) forwards to the function of the same
-- name in aside, whose first argument is the role that asks.

CREATE FUNCTION aside.event_handler_of(caller oid, wanted text) RETURNS aside.event_handler LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found aside.event_handler;
    owner oid;
BEGIN
    IF wanted IS NULL THEN
        RAISE EXCEPTION 'name of an event handler must not be null' USING ERRCODE = '22004';
    END IF;
    SELECT * INTO found FROM aside.event_handler h WHERE h.name = wanted FOR UPDATE;
    owner := aside.definition_owner('handler', found.id, found.name);
    IF found.id IS NULL OR (owner IS NULL AND NOT found.inert) THEN
        RAISE EXCEPTION 'event handler "%" does not exist', wanted USING ERRCODE = '42704';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = caller AND (r.rolsuper OR (NOT found.inert AND pg_has_role(caller, owner, 'USAGE')))) THEN
        RAISE EXCEPTION 'must be owner of event handler "%"', wanted USING ERRCODE = '42501';
    END IF;
    RETURN found;
END $$;
COMMENT ON FUNCTION aside.event_handler_of(oid, text) IS 'Returns the handler of that name, if the role may change it. Raises 42704 or 42501 if not.';

CREATE FUNCTION aside.event_handler_end(ended aside.event_handler) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM aside.event_dead d WHERE d.handler = ended.id;
    DELETE FROM aside.event_handler h WHERE h.id = ended.id;
    -- What waits and no other handler gets ends here, so its unique keys are free.
    DELETE FROM aside.event_unique u WHERE u.channel = ended.channel
        AND NOT EXISTS (SELECT FROM aside.event_handler h WHERE h.channel = ended.channel AND h.since < u.event);
END $$;
COMMENT ON FUNCTION aside.event_handler_end(aside.event_handler) IS 'Ends a handler. Deletes its dead events, and the events that wait for it alone.';

-- Asked by the coordinator whenever it reads them. It waits for nobody.
CREATE FUNCTION aside.event_handlers_settle() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found aside.event_handler;
    mends text;
BEGIN
    -- pg_restore --disable-triggers writes rows past their triggers, and leaves these enabled in another way than they were.
    IF EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = 'aside.event_handler'::regclass AND t.tgname = 'rights' AND t.tgenabled = 'D') THEN
        RETURN;
    END IF;
    FOR mends IN SELECT format('ALTER TABLE %s ENABLE %s TRIGGER %I', t.tgrelid::regclass,
            CASE t.tgname WHEN 'replicated' THEN 'REPLICA' ELSE 'ALWAYS' END, t.tgname) FROM pg_trigger t
        WHERE t.tgrelid IN ('aside.event_handler'::regclass, 'aside.event_dead'::regclass) AND NOT t.tgisinternal AND t.tgenabled = 'O' LOOP
        EXECUTE mends;
    END LOOP;
    IF mends IS NOT NULL THEN
        UPDATE aside.event_handler h SET inert = true WHERE NOT h.inert AND aside.definition_owner('handler', h.id, h.name) IS NULL;
    END IF;
    FOR found IN SELECT * FROM aside.event_handler h
        WHERE NOT h.inert AND aside.definition_owner('handler', h.id, h.name) IS NULL FOR UPDATE SKIP LOCKED LOOP
        RAISE LOG 'event handler "%" has ended: its owner, role "%", has given up what it owned', found.name, found.owner;
        PERFORM aside.event_handler_end(found);
    END LOOP;
    FOR found IN SELECT h.* FROM aside.event_handler h JOIN pg_roles r ON r.oid = aside.definition_owner('handler', h.id, h.name)
        WHERE NOT h.inert AND r.rolname <> h.owner AND pg_has_role(r.oid, 'USAGE') FOR UPDATE OF h SKIP LOCKED LOOP
        UPDATE aside.event_handler h SET owner = pg_get_userbyid(aside.definition_owner('handler', h.id, h.name)) WHERE h.id = found.id;
    END LOOP;
    PERFORM aside.definition_keep('handler', h.id, h.name) FROM aside.event_handler h WHERE NOT h.inert;
END $$;
COMMENT ON FUNCTION aside.event_handlers_settle() IS 'Ends the handlers whose proxies are gone, and records who owns the other proxies now.';

CREATE FUNCTION aside.async_event_on(caller oid, channel text, handler regprocedure, command text, name text, concurrency int,
    batch_size int, max_attempts int, backoff interval, backoff_cap interval, timeout interval, ordered boolean, durable boolean)
RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    caller_name name := (SELECT r.rolname FROM pg_roles r WHERE r.oid = caller);
    of_function pg_proc;
    form text;
    signature text;
    new_name text := coalesce(name, channel);
    new_id bigint;
    obstacle text;
    ended aside.event_handler;
    quota int;
    wrong record;
BEGIN
    IF channel IS NULL OR channel = '' THEN
        RAISE EXCEPTION 'channel of an event handler must not be null or empty' USING ERRCODE = '22004';
    END IF;
    IF octet_length(coalesce(name, channel)) > 2000 THEN
        RAISE EXCEPTION 'name of an event handler is too long' USING ERRCODE = '54000',
            DETAIL = format('It has %s bytes; the limit is 2000.', octet_length(coalesce(name, channel)));
    END IF;
    IF octet_length(channel) > 2000 THEN
        RAISE EXCEPTION 'channel name is too long' USING ERRCODE = '54000',
            DETAIL = format('It has %s bytes; the limit for a handler is 2000.', octet_length(channel));
    END IF;
    -- Events may have longer ones.
    IF octet_length(channel) > 63 AND durable THEN
        RAISE EXCEPTION 'channel name is too long' USING ERRCODE = '22023',
            DETAIL = format('It has %s bytes. NOTIFY allows at most 63, so this handler would have no notification to record.',
                octet_length(channel)),
            HINT = 'Use a shorter channel name, or set the option "durable" to false.';
    END IF;
    IF (handler IS NULL) = (command IS NULL) THEN
        RAISE EXCEPTION 'an event handler must have either a function or a command' USING ERRCODE = '22023',
            HINT = 'Give exactly one of the arguments "handler" and "command".';
    END IF;
    SELECT * INTO wrong FROM (VALUES
            ('concurrency', concurrency::text, concurrency >= 1, 'at least 1'),
            ('batch_size', batch_size::text, batch_size >= 1, 'at least 1'),
            ('max_attempts', max_attempts::text, max_attempts >= 1, 'at least 1'),
            ('backoff', backoff::text, backoff >= interval '0', 'zero or longer'),
            ('backoff_cap', backoff_cap::text, backoff_cap >= interval '0', 'zero or longer'),
            ('timeout', timeout::text, timeout IS NULL OR timeout > interval '0', 'longer than zero, or null for no timeout'),
            ('ordered', ordered::text, ordered IS NOT NULL, 'true or false'),
            ('durable', durable::text, durable IS NOT NULL, 'true or false')) o (option, value, allowed, range)
        WHERE allowed IS NOT TRUE LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'option "%" of an event handler is out of range', wrong.option USING ERRCODE = '22023',
            DETAIL = format('It is %s, but must be %s.', coalesce(wrong.value, 'null'), wrong.range);
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = caller AND r.rolcanlogin) THEN
        RAISE EXCEPTION 'the owner of an event handler must be able to log in' USING ERRCODE = '0A000',
            DETAIL = format('Handlers run as their owner, and role "%s" cannot log in.', caller_name),
            HINT = 'Create the handler as a role that can log in, for example a member of this role.';
    END IF;
    obstacle := aside.definition_obstacle(caller);
    IF obstacle IS NOT NULL THEN
        RAISE EXCEPTION 'permission denied to define an event handler' USING ERRCODE = '42501', DETAIL = format('The handler could not run: %s.', obstacle);
    END IF;
    IF handler IS NULL THEN
        form := 'command';
    ELSE
        SELECT * INTO of_function FROM pg_proc p WHERE p.oid = handler;
        IF NOT has_function_privilege(caller, handler, 'EXECUTE') THEN
            RAISE EXCEPTION 'permission denied for function %', handler USING ERRCODE = '42501';
        END IF;
        form := CASE
            WHEN of_function.prokind <> 'f' OR of_function.pronargs <> 1 THEN NULL
            WHEN of_function.proargtypes[0] = 'aside.event'::regtype THEN 'event'
            WHEN of_function.proargtypes[0] = 'aside.event[]'::regtype THEN 'array'
            WHEN of_function.proargtypes[0] = 'jsonb'::regtype THEN 'jsonb'
            WHEN of_function.proargtypes[0] = 'text'::regtype THEN 'text'
        END;
        IF form IS NULL THEN
            RAISE EXCEPTION 'function % cannot handle events', handler USING ERRCODE = '42P13',
                HINT = 'Use a function with one argument, of type aside.event, aside.event[], jsonb or text.';
        END IF;
        SELECT format('%I.%I(%s)', n.nspname, of_function.proname, format_type(of_function.proargtypes[0], NULL))
            INTO signature FROM pg_namespace n WHERE n.oid = of_function.pronamespace;
    END IF;
    SELECT * INTO ended FROM aside.event_handler h
        WHERE h.name = new_name AND NOT h.inert AND aside.definition_owner('handler', h.id, h.name) IS NULL FOR UPDATE;
    IF FOUND THEN
        PERFORM aside.event_handler_end(ended);
    END IF;
    IF EXISTS (SELECT FROM aside.event_handler h WHERE h.name = new_name) THEN
        RAISE EXCEPTION 'event handler "%" already exists', new_name USING ERRCODE = '42710',
            HINT = 'Choose another name with the argument "name", or end that handler with async_event_off().';
    END IF;
    quota := current_setting('aside.max_handlers_per_role')::int;
    IF quota > 0 AND (SELECT count(*) FROM aside.event_handlers h WHERE h.role = caller) >= quota THEN
        RAISE EXCEPTION 'too many event handlers of role "%"', caller_name USING ERRCODE = '53400',
            DETAIL = format('The limit is %s.', quota), HINT = 'Consider increasing "aside.max_handlers_per_role".';
    END IF;
    quota := current_setting('aside.max_handlers_per_channel')::int;
    IF quota > 0 AND (SELECT count(*) FROM aside.event_handlers h WHERE h.channel = async_event_on.channel) >= quota THEN
        RAISE EXCEPTION 'too many event handlers of channel "%"', channel USING ERRCODE = '53400',
            DETAIL = format('The limit is %s.', quota), HINT = 'Consider increasing "aside.max_handlers_per_channel".';
    END IF;
    -- Whoever owns a proxy can rename it: none that bears this name by now is to be taken for that of a restored row.
    new_id := nextval('aside.event_handler_id_seq');
    PERFORM aside.definition_end('handler', new_id, new_name);
    INSERT INTO aside.event_handler (id, name, channel, owner, handler, command, form, concurrency, batch_size, max_attempts,
        backoff, backoff_cap, timeout, ordered, durable, since) OVERRIDING SYSTEM VALUE
    VALUES (new_id, new_name, channel, caller_name, signature, command,
        CASE form WHEN 'command' THEN 'c' WHEN 'event' THEN 'e' WHEN 'array' THEN 'a' WHEN 'jsonb' THEN 'j' ELSE 't' END,
        concurrency, batch_size, max_attempts, backoff, backoff_cap, timeout, ordered, durable,
        aside.event_next_id());
    RETURN new_name;
END $$;

CREATE FUNCTION aside.async_event_off(caller oid, name text) RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found aside.event_handler := aside.event_handler_of(caller, name);
BEGIN
    PERFORM aside.event_handler_end(found);
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

COMMENT ON FUNCTION aside.async_event_on(oid, text, regprocedure, text, text, int, int, int, interval, interval, interval, boolean, boolean) IS
    'Does the work of async_event_on for the role given first.';
COMMENT ON FUNCTION aside.async_event_off(oid, text) IS 'Does the work of async_event_off for the role given first.';
COMMENT ON FUNCTION aside.async_event_pause(oid, text) IS 'Does the work of async_event_pause for the role given first.';
COMMENT ON FUNCTION aside.async_event_resume(oid, text) IS 'Does the work of async_event_resume for the role given first.';

CREATE FUNCTION async_event_on(channel text, handler regprocedure DEFAULT NULL, command text DEFAULT NULL, name text DEFAULT NULL,
    concurrency int DEFAULT 1, batch_size int DEFAULT 1, max_attempts int DEFAULT 5, backoff interval DEFAULT '1 second',
    backoff_cap interval DEFAULT '1 hour', timeout interval DEFAULT NULL, ordered boolean DEFAULT false, durable boolean DEFAULT false)
RETURNS text LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_event_forward';
CREATE FUNCTION async_event_off(name text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_event_forward';
CREATE FUNCTION async_event_pause(name text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_event_forward';
CREATE FUNCTION async_event_resume(name text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_event_forward';

COMMENT ON FUNCTION async_event_on(text, regprocedure, text, text, int, int, int, interval, interval, interval, boolean, boolean) IS
    'Creates a handler: the server runs the function or command, as the current role, for each event of the channel and each NOTIFY on it. Returns the handler''s name. A name that is taken raises 42710.';
COMMENT ON FUNCTION async_event_off(text) IS
    'Ends a handler. Drops the events that wait for it, and its dead events. Raises 42704 if there is no such handler.';
COMMENT ON FUNCTION async_event_pause(text) IS 'Pauses a handler: no event begins for it any more. Returns false if it was already paused.';
COMMENT ON FUNCTION async_event_resume(text) IS 'Resumes a paused handler. Returns false if it was not paused.';

GRANT EXECUTE ON FUNCTION
    async_event_on(text, regprocedure, text, text, int, int, int, interval, interval, interval, boolean, boolean),
    async_event_off(text), async_event_pause(text), async_event_resume(text)
TO aside_user;
