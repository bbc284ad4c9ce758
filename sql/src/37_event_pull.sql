-- Role: consumers take events by themselves. In C: c-shim/sql/pull.c, c-shim/events/lease.c.

-- Asked for each call: it locks nothing.
CREATE FUNCTION aside.event_pull_handler(caller oid, wanted text) RETURNS bigint LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found record;
BEGIN
    SELECT h.id, h.form, h.inert, CASE WHEN NOT h.inert THEN aside.definition_owner('handler', h.id, h.name) END AS role INTO found
        FROM aside.event_handler h WHERE h.name = wanted;
    IF found.role IS NULL OR NOT pg_has_role(caller, found.role, 'USAGE') THEN
        SELECT h.id, h.form INTO found FROM aside.event_handler h WHERE h.id = aside.definition_named(caller, 'handler', wanted);
    END IF;
    IF found.form <> 'p' THEN
        RAISE EXCEPTION 'event handler "%" runs in workers', wanted USING ERRCODE = '55000',
            HINT = 'Only the events of a handler that was made with the option "pull" can be pulled.';
    END IF;
    RETURN found.id;
END $$;
COMMENT ON FUNCTION aside.event_pull_handler(oid, text) IS 'Returns the number of a handler whose events the role may pull. Raises 42704, 42501 or 55000 if there is none.';

CREATE FUNCTION async_event_pull(name text, max int DEFAULT 1, lease interval DEFAULT '30 s', wait interval DEFAULT NULL)
RETURNS SETOF aside.event LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_event_pull';
COMMENT ON FUNCTION async_event_pull(text, int, interval, interval) IS
    'Takes events of a handler that was made with the option "pull", as many as there are, up to max. They are leased: if they are not acknowledged in that time, that is a failed attempt. Waits for that long if there are none. A rollback gives nothing back.';
CREATE FUNCTION async_event_ack(name text, ids bigint[]) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_event_ack';
COMMENT ON FUNCTION async_event_ack(text, bigint[]) IS
    'Acknowledges events that were pulled: when this transaction commits they are done. Raises 55000 if one of them is not leased any more. Returns how many.';
CREATE FUNCTION async_event_nack(name text, ids bigint[], message text DEFAULT NULL, delay interval DEFAULT NULL) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_event_nack';
COMMENT ON FUNCTION async_event_nack(text, bigint[], text, interval) IS
    'Gives events back that were pulled, when this transaction commits: that is a failed attempt. They come again after the delay, or after the handler''s backoff. Raises 55000 if one of them is not leased any more. Returns how many.';
CREATE FUNCTION async_event_extend(name text, ids bigint[], lease interval DEFAULT '30 s') RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_event_extend';
COMMENT ON FUNCTION async_event_extend(text, bigint[], interval) IS
    'Has the lease of events that were pulled last for that long from now on, whether this transaction commits or not. Raises 55000 if one of them is not leased any more. Returns how many.';

GRANT EXECUTE ON FUNCTION
    async_event_pull(text, int, interval, interval), async_event_ack(text, bigint[]), async_event_nack(text, bigint[], text, interval),
    async_event_extend(text, bigint[], interval)
TO aside_user;
