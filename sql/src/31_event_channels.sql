-- Role: channels that belong to somebody, who says who may emit there, and who may handle. A channel is a definition, and so is each
-- role that may do something there: its proxy belongs to that role. In C: c-shim/events/channel.c.

CREATE TABLE aside.event_channel (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name <> ''),
    owner text NOT NULL,
    inert boolean NOT NULL DEFAULT false,
    created timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE aside.event_channel IS 'Channels that belong to somebody, made by async_channel_create. The view aside.channels shows them.';
COMMENT ON SEQUENCE aside.event_channel_id_seq IS 'Gives each channel that belongs to somebody its number.';
CREATE TABLE aside.event_channel_grant (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    owner text NOT NULL,
    inert boolean NOT NULL DEFAULT false,
    emits boolean NOT NULL
);
CREATE INDEX event_channel_grant_name ON aside.event_channel_grant (name);
COMMENT ON TABLE aside.event_channel_grant IS 'Roles that may emit to a channel of another role, or handle what is emitted there.';
COMMENT ON COLUMN aside.event_channel_grant.name IS 'Name of the channel.';
COMMENT ON COLUMN aside.event_channel_grant.owner IS 'Name of the role. The owner of the row''s proxy is meant.';
COMMENT ON COLUMN aside.event_channel_grant.emits IS 'True: the role may emit. False: the role may handle.';
COMMENT ON SEQUENCE aside.event_channel_grant_id_seq IS 'Gives each role that may use a channel a number.';
SELECT pg_catalog.pg_extension_config_dump('aside.event_channel', '');
SELECT pg_catalog.pg_extension_config_dump('aside.event_channel_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('aside.event_channel_grant', '');
SELECT pg_catalog.pg_extension_config_dump('aside.event_channel_grant_id_seq', '');
GRANT SELECT ON aside.event_channel, aside.event_channel_id_seq, aside.event_channel_grant, aside.event_channel_grant_id_seq TO pg_database_owner;

SELECT aside.guard_table('aside.event_channel', 'channel'), aside.guard_table('aside.event_channel_grant', 'channel grant');
-- Whoever has a role's privileges must not give it rights by such a row.
CREATE TRIGGER rights_writer BEFORE INSERT OR UPDATE OR DELETE ON aside.event_channel_grant EXECUTE FUNCTION aside.check_writer();
ALTER TABLE aside.event_channel_grant ENABLE ALWAYS TRIGGER rights_writer;

CREATE FUNCTION aside.channel_owner(wanted text, OUT id bigint, OUT role oid) LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT o.id, o.role FROM (SELECT c.id, c.inert, CASE WHEN NOT c.inert THEN aside.definition_owner('channel', c.id, c.name) END AS role
        FROM aside.event_channel c WHERE c.name = wanted) o WHERE o.inert OR o.role IS NOT NULL $$;
COMMENT ON FUNCTION aside.channel_owner(text) IS 'Returns the number and the owner of a channel. Returns NULLs if the channel belongs to nobody.';

CREATE FUNCTION aside.channel_allows(wanted text, asks oid, emits boolean) RETURNS boolean LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its record;
BEGIN
    SELECT * INTO its FROM aside.channel_owner(wanted);
    IF its.id IS NULL THEN
        RETURN wanted LIKE 'aside.%' OR current_setting('aside.open_channels')::boolean;
    END IF;
    RETURN EXISTS (SELECT FROM pg_roles r WHERE r.oid = asks AND r.rolsuper) OR coalesce(pg_has_role(asks, its.role, 'USAGE'), false)
        OR EXISTS (SELECT FROM aside.event_channel_grant g WHERE g.name = wanted AND g.emits = channel_allows.emits AND NOT g.inert
            AND pg_has_role(asks, aside.definition_owner('channel grant', g.id, g.name), 'USAGE'));
END $$;
COMMENT ON FUNCTION aside.channel_allows(text, oid, boolean) IS 'Returns whether a role may emit to a channel, or may handle what is emitted there.';

CREATE FUNCTION aside.channel_check(wanted text, asks oid, emits boolean) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF aside.channel_allows(wanted, asks, emits) THEN
        RETURN;
    ELSIF (SELECT o.id FROM aside.channel_owner(wanted) o) IS NULL THEN
        RAISE EXCEPTION 'permission denied for channel "%"', wanted USING ERRCODE = '42501', DETAIL = 'Nobody has created the channel.',
            HINT = 'Create it with async_channel_create(), or set "aside.open_channels".';
    END IF;
    RAISE EXCEPTION 'permission denied for channel "%"', wanted USING ERRCODE = '42501',
        DETAIL = format('Role "%s" may not %s there.', pg_get_userbyid(asks), CASE WHEN emits THEN 'emit' ELSE 'handle events' END),
        HINT = format('Its owner can allow it with async_channel_alter(), argument "%s".', CASE WHEN emits THEN 'emit' ELSE 'handle' END);
END $$;
COMMENT ON FUNCTION aside.channel_check(text, oid, boolean) IS 'Raises 42501 if a role may not emit to a channel, or may not handle what is emitted there.';

-- Handlers whose owners may not handle their channel any more get nothing of it; when they may again, they get what comes then.
CREATE FUNCTION aside.channel_close_handlers() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found record;
BEGIN
    FOR found IN SELECT h.id, h.closed FROM aside.event_handler h WHERE NOT h.inert AND (h.closed OR EXISTS (SELECT FROM aside.event_channel c WHERE c.name = h.channel))
            AND aside.definition_owner('handler', h.id, h.name) IS NOT NULL AND h.closed = ((SELECT o.id FROM aside.channel_owner(h.channel) o) IS NULL
                OR aside.channel_allows(h.channel, aside.definition_owner('handler', h.id, h.name), false)) FOR UPDATE SKIP LOCKED LOOP
        UPDATE aside.event_handler h SET closed = NOT found.closed, version = h.version + 1,
            since = CASE WHEN found.closed THEN aside.event_next_id() ELSE h.since END WHERE h.id = found.id;
    END LOOP;
END $$;
COMMENT ON FUNCTION aside.channel_close_handlers() IS 'Closes handlers to channels that their owners may not handle any more, and opens those that they may.';

CREATE FUNCTION aside.channels_settle() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM aside.event_channel c WHERE c.id IN (SELECT e.id FROM aside.definitions_settle('channel') e (id));
    DELETE FROM aside.event_channel_grant g WHERE g.id IN (SELECT e.id FROM aside.definitions_settle('channel grant') e (id))
        OR NOT EXISTS (SELECT FROM aside.event_channel c WHERE c.name = g.name);
    PERFORM aside.channel_close_handlers();
END $$;
COMMENT ON FUNCTION aside.channels_settle() IS 'Makes the tables of channels follow the proxies.';

-- Exactly these have the right, beside the owner.
CREATE FUNCTION aside.channel_grant(channel text, its_emits boolean, roles regrole[]) RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    had oid[] := ARRAY(SELECT DISTINCT aside.definition_owner('channel grant', g.id, g.name) FROM aside.event_channel_grant g
        WHERE g.name = channel AND g.emits = its_emits AND NOT g.inert);
    one oid;
    number bigint;
BEGIN
    IF had @> roles::oid[] AND roles::oid[] @> had THEN
        RETURN false;
    END IF;
    DELETE FROM aside.event_channel_grant g WHERE g.name = channel AND g.emits = its_emits
        AND (g.inert OR aside.definition_owner('channel grant', g.id, g.name) = ANY (roles::oid[])) IS NOT TRUE;
    FOR one IN SELECT DISTINCT r::oid FROM unnest(roles) r WHERE r::oid <> ALL (had) LOOP
        number := aside.definition_number('channel grant', channel);
        INSERT INTO aside.event_channel_grant (id, name, owner, emits) OVERRIDING SYSTEM VALUE VALUES (number, channel, pg_get_userbyid(one), its_emits);
    END LOOP;
    RETURN true;
END $$;
COMMENT ON FUNCTION aside.channel_grant(text, boolean, regrole[]) IS
    'Has exactly these roles emit to a channel, or handle there, beside its owner. Returns false if that was so.';

CREATE FUNCTION aside.channel_check_arguments(channel text, emit regrole[], handle regrole[]) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF channel IS NULL OR channel = '' THEN
        RAISE EXCEPTION 'channel must not be null or empty' USING ERRCODE = '22004';
    ELSIF channel LIKE 'aside.%' THEN
        RAISE EXCEPTION 'channel names that begin with "aside." are reserved' USING ERRCODE = '42939';
    ELSIF array_position(emit || handle, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'role of a channel must not be null' USING ERRCODE = '22004';
    END IF;
    PERFORM aside.definition_check_name('channel', channel);
    IF EXISTS (SELECT FROM unnest(emit || handle) r WHERE NOT EXISTS (SELECT FROM pg_roles o WHERE o.oid = r::oid)) THEN
        RAISE EXCEPTION 'role of a channel does not exist' USING ERRCODE = '42704';
    END IF;
END $$;
COMMENT ON FUNCTION aside.channel_check_arguments(text, regrole[], regrole[]) IS 'Raises an error if no channel can be like that.';

CREATE FUNCTION aside.async_channel_create(caller oid, channel text, emit regrole[], handle regrole[]) RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    number bigint;
    others record;
BEGIN
    PERFORM aside.channel_check_arguments(channel, emit, handle);
    DELETE FROM aside.event_channel c WHERE c.name = channel AND NOT c.inert AND aside.definition_owner('channel', c.id, c.name) IS NULL;
    number := aside.definition_number('channel', channel);
    DELETE FROM aside.event_channel_grant g WHERE g.name = channel AND (SELECT o.id FROM aside.channel_owner(channel) o) IS NULL;
    BEGIN
        INSERT INTO aside.event_channel (id, name, owner) OVERRIDING SYSTEM VALUE VALUES (number, channel, pg_get_userbyid(caller));
    EXCEPTION WHEN unique_violation THEN
        RAISE EXCEPTION 'channel "%" already exists', channel USING ERRCODE = '42710',
            HINT = 'Its owner can change it with async_channel_alter().';
    END;
    PERFORM aside.channel_grant(channel, true, coalesce(emit, '{}')), aside.channel_grant(channel, false, coalesce(handle, '{}'));
    -- Else whoever may make handlers could take from another role's handler what waits for it.
    SELECT o.name, pg_get_userbyid(o.role) AS owner INTO others FROM (SELECT h.name, aside.definition_owner('handler', h.id, h.name) AS role
            FROM aside.event_handler h WHERE h.channel = async_channel_create.channel AND NOT h.inert AND NOT h.closed OFFSET 0) o
        WHERE o.role IS NOT NULL AND NOT aside.channel_allows(async_channel_create.channel, o.role, false) AND NOT pg_has_role(caller, o.role, 'USAGE')
        ORDER BY o.name LIMIT 1;
    IF FOUND AND NOT (SELECT r.rolsuper FROM pg_roles r WHERE r.oid = caller) THEN
        RAISE EXCEPTION 'channel "%" has a handler of another role', channel USING ERRCODE = '42501',
            DETAIL = format('Handler "%s" of role "%s" would get nothing any more, also not what waits for it.', others.name, others.owner),
            HINT = 'Name its owner in the argument "handle", or have a superuser create the channel.';
    END IF;
    PERFORM aside.channel_close_handlers();
    RETURN channel;
END $$;

CREATE FUNCTION aside.async_channel_alter(caller oid, channel text, emit regrole[], handle regrole[], owner regrole) RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    number bigint;
    its aside.event_channel;
    changed boolean := false;
BEGIN
    PERFORM aside.channel_check_arguments(channel, emit, handle);
    number := aside.definition_locked(caller, 'channel', channel);
    SELECT * INTO its FROM aside.event_channel c WHERE c.id = number;
    IF owner IS NOT NULL AND (its.inert OR owner <> aside.definition_owner('channel', number, channel)) THEN
        IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = caller AND (r.rolsuper OR pg_has_role(caller, owner, 'USAGE'))) THEN
            RAISE EXCEPTION 'must have the privileges of role %', owner USING ERRCODE = '42501';
        END IF;
        -- Its row may have the name of an earlier owner; that is no change of its owner.
        UPDATE aside.event_channel c SET owner = pg_get_userbyid(aside.definition_owner('channel', c.id, c.name)) WHERE c.id = number AND NOT c.inert;
        UPDATE aside.event_channel c SET owner = pg_get_userbyid(async_channel_alter.owner), inert = false WHERE c.id = number;
        changed := true;
    ELSIF its.inert THEN
        RAISE EXCEPTION 'channel "%" belongs to nobody', channel USING ERRCODE = '55000', HINT = 'Give it an owner with the argument "owner".';
    END IF;
    IF emit IS NOT NULL AND aside.channel_grant(channel, true, emit) THEN
        changed := true;
    END IF;
    IF handle IS NOT NULL AND aside.channel_grant(channel, false, handle) THEN
        changed := true;
    END IF;
    PERFORM aside.channel_close_handlers();
    RETURN changed;
END $$;

CREATE FUNCTION aside.async_channel_drop(caller oid, channel text) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    number bigint := aside.definition_locked(caller, 'channel', channel);
BEGIN
    DELETE FROM aside.event_channel c WHERE c.id = number;
    DELETE FROM aside.event_channel_grant g WHERE g.name = channel;
    PERFORM aside.channel_close_handlers();
    RETURN true;
END $$;
COMMENT ON FUNCTION aside.async_channel_create(oid, text, regrole[], regrole[]) IS 'Does the work of async_channel_create for the role given first.';
COMMENT ON FUNCTION aside.async_channel_alter(oid, text, regrole[], regrole[], regrole) IS 'Does the work of async_channel_alter for the role given first.';
COMMENT ON FUNCTION aside.async_channel_drop(oid, text) IS 'Does the work of async_channel_drop for the role given first.';

CREATE FUNCTION async_channel_create(channel text, emit regrole[] DEFAULT NULL, handle regrole[] DEFAULT NULL) RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_event_forward';
CREATE FUNCTION async_channel_alter(channel text, emit regrole[] DEFAULT NULL, handle regrole[] DEFAULT NULL, owner regrole DEFAULT NULL) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_event_forward';
CREATE FUNCTION async_channel_drop(channel text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_event_forward';
COMMENT ON FUNCTION async_channel_create(text, regrole[], regrole[]) IS
    'Has a channel belong to the current role: only the owner, these roles and their members may emit there, and may handle what is emitted. Unique keys are then the channel''s. Returns its name. Raises 42710 if it belongs to somebody, and 42501 if a handler of another role would be left out.';
COMMENT ON FUNCTION async_channel_alter(text, regrole[], regrole[], regrole) IS
    'Changes who may emit to a channel, who may handle, and whose it is. NULL means unchanged, an empty array nobody but the owner. Returns false if nothing was changed.';
COMMENT ON FUNCTION async_channel_drop(text) IS 'Has a channel belong to nobody: it is open again. Events, handlers and dead events stay.';

CREATE VIEW aside.channels AS
    WITH granted AS (SELECT g.name, g.emits, pg_catalog.pg_get_userbyid(aside.definition_owner('channel grant', g.id, g.name)) AS role
        FROM aside.event_channel_grant g WHERE NOT g.inert AND aside.definition_owner('channel grant', g.id, g.name) IS NOT NULL)
    SELECT c.name AS channel, coalesce(pg_catalog.pg_get_userbyid(c.role), c.owner) AS owner,
        ARRAY(SELECT g.role FROM granted g WHERE g.name = c.name AND g.emits ORDER BY 1) AS emit,
        ARRAY(SELECT g.role FROM granted g WHERE g.name = c.name AND NOT g.emits ORDER BY 1) AS handle,
        c.created, CASE WHEN c.inert THEN pg_catalog.format('its owner, role "%s", was lost in a restore: it belongs to nobody', c.owner) END AS reason
    FROM (SELECT c.*, CASE WHEN NOT c.inert THEN aside.definition_owner('channel', c.id, c.name) END AS role FROM aside.event_channel c OFFSET 0) c
    WHERE c.inert OR c.role IS NOT NULL;
COMMENT ON VIEW aside.channels IS 'Channels that belong to somebody. All others are open, or closed to everybody if aside.open_channels is off.';
COMMENT ON COLUMN aside.channels.channel IS 'Name of the channel.';
COMMENT ON COLUMN aside.channels.owner IS 'Role that the channel belongs to.';
COMMENT ON COLUMN aside.channels.emit IS 'Roles that may emit there, beside the owner.';
COMMENT ON COLUMN aside.channels.handle IS 'Roles that may handle what is emitted there, beside the owner.';
COMMENT ON COLUMN aside.channels.created IS 'Time when the channel was created.';
COMMENT ON COLUMN aside.channels.reason IS 'Why only superusers may use the channel. NULL if others may.';

GRANT EXECUTE ON FUNCTION
    async_channel_create(text, regrole[], regrole[]), async_channel_alter(text, regrole[], regrole[], regrole), async_channel_drop(text)
TO aside_user;
GRANT SELECT ON aside.channels TO aside_user;
