-- Role: what all definitions share. A definition is a handler of events, a schedule, or a job.

-- Definitions: rows that have something run for a role later. Each has a proxy in the catalog, a type without a body that
-- the role owns: so DROP ROLE, REASSIGN OWNED, DROP OWNED and pg_dump do what they do for a table. See c-shim/definitions/definition.c.
CREATE FUNCTION aside.definition_owner(kind text, id bigint, name text) RETURNS oid
LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'aside_definition_owner_sql';
COMMENT ON FUNCTION aside.definition_owner(text, bigint, text) IS
    'Returns the role that a definition acts for. Returns NULL if the definition has ended.';
CREATE FUNCTION aside.definition_proxy(kind text, id bigint, name text) RETURNS oid
LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'aside_definition_proxy_sql';
COMMENT ON FUNCTION aside.definition_proxy(text, bigint, text) IS 'Returns the proxy of a definition. Returns NULL if the definition has ended.';
CREATE FUNCTION aside.definition_obstacle(owner oid) RETURNS text
LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'aside_definition_obstacle_sql';
COMMENT ON FUNCTION aside.definition_obstacle(oid) IS 'Returns why nothing that a role has defined can run now. Returns NULL if it can run.';
CREATE FUNCTION aside.definition_end(kind text, id bigint, name text) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'aside_definition_end_sql';
COMMENT ON FUNCTION aside.definition_end(text, bigint, text) IS 'Drops the proxy of a definition, if there is one.';
CREATE FUNCTION aside.definition_keep(kind text, id bigint, name text) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'aside_definition_keep_sql';
COMMENT ON FUNCTION aside.definition_keep(text, bigint, text) IS
    'Makes the proxy of a definition depend on the extension, also after an upgrade of the server.';
CREATE FUNCTION aside.check_definition() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'aside_check_definition';
COMMENT ON FUNCTION aside.check_definition() IS
    'Refuses a row of a definition if its author lacks the privileges of the role that the definition acts for.';
CREATE FUNCTION aside.follow_definition() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'aside_follow_definition';
COMMENT ON FUNCTION aside.follow_definition() IS 'Creates, renames or drops the proxy of a definition when its row changes.';
CREATE FUNCTION aside.check_writer() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'aside_check_writer';
COMMENT ON FUNCTION aside.check_writer() IS 'Refuses writes to a table by roles that lack its owner''s privileges.';

CREATE FUNCTION aside.definitions_changed() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'aside_definitions_changed';
COMMENT ON FUNCTION aside.definitions_changed() IS 'Tells the coordinator that definitions of a kind have changed, when the transaction commits.';
CREATE FUNCTION aside.discard_replicated() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'aside_discard_replicated';
COMMENT ON FUNCTION aside.discard_replicated() IS 'Discards rows that logical replication writes.';

-- The triggers check each row, because rows also come by COPY: pg_restore copies rows into the table. Whoever publishes all tables
-- publishes these, too. What a subscription brings is another server's and is left out, so the trigger that leaves it out comes first, by
-- name.
CREATE FUNCTION aside.guard_table(its regclass, kind text DEFAULT NULL, told text DEFAULT NULL) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER replicated BEFORE INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION aside.discard_replicated()', its);
    EXECUTE format('ALTER TABLE %s ENABLE REPLICA TRIGGER replicated', its);
    EXECUTE format('CREATE TRIGGER rights BEFORE INSERT OR UPDATE OR DELETE ON %s %s', its, CASE WHEN kind IS NULL
        THEN 'EXECUTE FUNCTION aside.check_writer()' ELSE format('FOR EACH ROW EXECUTE FUNCTION aside.check_definition(%L)', kind) END);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER rights', its);
    IF kind IS NOT NULL THEN
        -- The coordinator writes down how far a definition has come. That changes none of these columns.
        EXECUTE format('CREATE TRIGGER follow AFTER INSERT OR DELETE OR UPDATE OF id, name, owner, inert ON %s
            FOR EACH ROW EXECUTE FUNCTION aside.follow_definition(%L)', its, kind);
        -- For each row: the coordinator itself writes to these tables when it follows the proxies, mostly to no row. Told of that, it would
        -- follow them again, for ever.
        EXECUTE format('CREATE TRIGGER tell AFTER INSERT OR DELETE OR UPDATE %s ON %s FOR EACH ROW EXECUTE FUNCTION aside.definitions_changed(%L)',
            'OF ' || told, its, kind);
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER follow, ENABLE ALWAYS TRIGGER tell', its);
    END IF;
END $$;
COMMENT ON FUNCTION aside.guard_table(regclass, text, text) IS
    'Creates the triggers of a table of pg_aside. A table of definitions gets more of them: the coordinator is told when one of these columns changes; NULL means any column.';

-- The one list of the kinds of definitions. The table of a kind has the columns id, name, owner and inert.
CREATE FUNCTION aside.definition_kinds() RETURNS TABLE (kind text, source regclass, noun text) LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    VALUES ('handler', 'aside.event_handler'::regclass, 'event handler'), ('schedule', 'aside.schedule', 'schedule'), ('job', 'aside.parallel_job', 'job'),
        ('channel', 'aside.event_channel', 'channel'), ('channel grant', 'aside.event_channel_grant', 'right to use a channel') $$;
COMMENT ON FUNCTION aside.definition_kinds() IS 'Returns the kinds of definitions: the table of each, and what messages call such a definition.';
CREATE FUNCTION aside.definition_kind(kind text, OUT source regclass, OUT noun text, OUT a_noun text) LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT k.source, k.noun, CASE WHEN k.noun ~ '^[aeiou]' THEN 'an ' ELSE 'a ' END || k.noun
        FROM aside.definition_kinds() k WHERE k.kind = definition_kind.kind $$;
COMMENT ON FUNCTION aside.definition_kind(text) IS 'Returns the table of a kind of definitions, and what messages call such a definition.';

-- A definition of the caller goes before definitions of other roles that the caller may act for.
CREATE FUNCTION aside.definition_named(caller oid, kind text, wanted text) RETURNS bigint LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its record := aside.definition_kind(kind);
    ids bigint[];
    known boolean;
BEGIN
    IF wanted IS NULL THEN
        RAISE EXCEPTION 'name of % must not be null', its.a_noun USING ERRCODE = '22004';
    END IF;
    EXECUTE format('SELECT count(*) > 0, coalesce(array_agg(o.id) FILTER (WHERE o.role = $1),
                array_agg(o.id) FILTER (WHERE (SELECT r.rolsuper FROM pg_roles r WHERE r.oid = $1) OR pg_has_role($1, o.role, ''USAGE'')))
            FROM (SELECT d.id, d.inert, CASE WHEN NOT d.inert THEN aside.definition_owner($2, d.id, d.name) END AS role
                FROM %s d WHERE d.name = $3) o
            WHERE o.inert OR o.role IS NOT NULL', its.source) INTO known, ids USING caller, kind, wanted;
    IF NOT known THEN
        RAISE EXCEPTION '% "%" does not exist', its.noun, wanted USING ERRCODE = '42704';
    END IF;
    IF ids IS NULL THEN
        RAISE EXCEPTION 'must be owner of % "%"', its.noun, wanted USING ERRCODE = '42501';
    END IF;
    IF cardinality(ids) > 1 THEN
        RAISE EXCEPTION '% name "%" is ambiguous', its.noun, wanted USING ERRCODE = '42725',
            DETAIL = format('Several roles that you may act for have %s of that name.', its.a_noun),
            HINT = format('Use SET ROLE to become the role whose %s you mean.', its.noun);
    END IF;
    RETURN ids[1];
END $$;
COMMENT ON FUNCTION aside.definition_named(oid, text, text) IS
    'Returns the number of the definition of that name, if the role may change the definition. Raises 42704, 42501 or 42725 if not.';

-- While this waited for the lock, the definition may have got another name or owner, or may have ended. So it is looked up again.
CREATE FUNCTION aside.definition_locked(caller oid, kind text, wanted text) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its record := aside.definition_kind(kind);
    found bigint := aside.definition_named(caller, kind, wanted);
    locked bigint;
BEGIN
    WHILE locked IS DISTINCT FROM found LOOP
        locked := found;
        EXECUTE format('SELECT FROM %s d WHERE d.id = $1 FOR UPDATE', its.source) USING locked;
        found := aside.definition_named(caller, kind, wanted);
    END LOOP;
    RETURN found;
END $$;
COMMENT ON FUNCTION aside.definition_locked(oid, text, text) IS
    'Does what aside.definition_named does, and locks the row of the definition for this transaction.';

-- The owner of a proxy can rename the proxy. So a proxy of another definition may have the new definition's name by now. It must not be
-- taken for the new definition's proxy.
CREATE FUNCTION aside.definition_number(kind text, name text) RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its record := aside.definition_kind(kind);
    number bigint := nextval(pg_get_serial_sequence(its.source::text, 'id'));
BEGIN
    PERFORM aside.definition_end(kind, number, name);
    RETURN number;
END $$;
COMMENT ON FUNCTION aside.definition_number(text, text) IS 'Returns a number for a new definition of that name.';

-- A unique index on the columns name and maker sees to it that two sessions of a role do not make the same definition. maker is NULL if
-- another role owns the definition by now, or none does.
CREATE FUNCTION aside.definition_free_name(kind text, wanted text, maker oid) RETURNS SETOF bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its record := aside.definition_kind(kind);
    found record;
BEGIN
    FOR found IN EXECUTE format('SELECT d.id, d.inert FROM %s d WHERE d.name = $1 AND d.maker = $2
            AND (d.inert OR aside.definition_owner($3, d.id, d.name) IS DISTINCT FROM $2) FOR UPDATE', its.source) USING wanted, maker, kind LOOP
        IF NOT found.inert AND aside.definition_owner(kind, found.id, wanted) IS NULL THEN
            RETURN NEXT found.id;
        ELSE
            EXECUTE format('UPDATE %s d SET maker = NULL WHERE d.id = $1', its.source) USING found.id;
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION aside.definition_free_name(text, text, oid) IS
    'Makes a name free that a role once gave to a definition which is not the role''s any more. Returns the definitions that have ended; the caller must delete these.';

CREATE FUNCTION aside.definition_check_name(kind text, name text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF octet_length(name) > 2000 THEN
        RAISE EXCEPTION 'name of % is too long', (aside.definition_kind(kind)).a_noun USING ERRCODE = '54000',
            DETAIL = format('The name has %s bytes; the limit is 2000.', octet_length(name));
    END IF;
END $$;
COMMENT ON FUNCTION aside.definition_check_name(text, text) IS 'Raises an error if no definition can have this name.';

CREATE FUNCTION aside.definition_check_owner(kind text, role oid) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its record := aside.definition_kind(kind);
    obstacle text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = role AND r.rolcanlogin) THEN
        RAISE EXCEPTION 'the owner of % must be able to log in', its.a_noun USING ERRCODE = '0A000',
            DETAIL = format('The %s runs as its owner, and role "%s" cannot log in.', its.noun, pg_get_userbyid(role)),
            HINT = format('Create the %s as a role that can log in, for example a member of role "%s".', its.noun, pg_get_userbyid(role));
    END IF;
    obstacle := aside.definition_obstacle(role);
    IF obstacle IS NOT NULL THEN
        RAISE EXCEPTION 'permission denied to define %', its.a_noun USING ERRCODE = '42501',
            DETAIL = format('The %s could not run: %s.', its.noun, obstacle);
    END IF;
END $$;
COMMENT ON FUNCTION aside.definition_check_owner(text, oid) IS 'Raises an error if no definition of this kind could run as this role.';

-- pg_restore --disable-triggers writes rows while the triggers are off. When it turns the triggers on again, it loses ALWAYS and REPLICA. A
-- row that was written meanwhile, and has no proxy, belongs to nobody.
CREATE FUNCTION aside.definitions_mend() RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its record;
    mends text;
BEGIN
    IF EXISTS (SELECT FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
            WHERE c.relnamespace = 'aside'::regnamespace AND t.tgname = 'rights' AND t.tgenabled = 'D') THEN
        RETURN false;
    END IF;
    FOR mends IN SELECT format('ALTER TABLE %s ENABLE %s TRIGGER %I', t.tgrelid::regclass,
            CASE t.tgname WHEN 'replicated' THEN 'REPLICA' ELSE 'ALWAYS' END, t.tgname) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE c.relnamespace = 'aside'::regnamespace AND t.tgname IN ('rights', 'rights_function', 'follow', 'tell', 'replicated')
            AND t.tgenabled = 'O' LOOP
        EXECUTE mends;
    END LOOP;
    IF mends IS NOT NULL THEN
        FOR its IN SELECT * FROM aside.definition_kinds() LOOP
            EXECUTE format('UPDATE %s d SET inert = true WHERE NOT d.inert AND aside.definition_owner($1, d.id, d.name) IS NULL', its.source)
                USING its.kind;
        END LOOP;
    END IF;
    RETURN true;
END $$;
COMMENT ON FUNCTION aside.definitions_mend() IS
    'Restores the triggers of the tables of pg_aside after a restore that went past them. Returns false while such a restore goes on.';

-- The coordinator calls this whenever it reads the definitions. This function waits for nobody: what is locked stays until the next call.
CREATE FUNCTION aside.definitions_settle(kind text) RETURNS SETOF bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its record := aside.definition_kind(kind);
    owner text := format('aside.definition_owner(%L, d.id, d.name)', kind);
    found record;
BEGIN
    IF NOT aside.definitions_mend() THEN
        RETURN;
    END IF;
    FOR found IN EXECUTE format('SELECT d.id, d.name, d.owner FROM %s d WHERE NOT d.inert AND %s IS NULL FOR UPDATE SKIP LOCKED', its.source, owner) LOOP
        RAISE LOG '% "%" has ended: its owner, role "%", has given up what it owned', its.noun, found.name, found.owner;
        RETURN NEXT found.id;
    END LOOP;
    FOR found IN EXECUTE format('SELECT d.id FROM %s d JOIN pg_roles r ON r.oid = %s
            WHERE NOT d.inert AND r.rolname <> d.owner AND pg_has_role(r.oid, ''USAGE'') FOR UPDATE OF d SKIP LOCKED', its.source, owner) LOOP
        EXECUTE format('UPDATE %s d SET owner = pg_get_userbyid(%s) WHERE d.id = $1', its.source, owner) USING found.id;
    END LOOP;
    -- There may be thousands of proxies, of which all are kept already.
    EXECUTE format('SELECT aside.definition_keep(%L, d.id, d.name) FROM %s d WHERE NOT d.inert
        AND aside.definition_proxy(%1$L, d.id, d.name) NOT IN (SELECT x.objid FROM pg_depend x, pg_extension e
            WHERE x.refclassid = ''pg_extension''::regclass AND x.refobjid = e.oid AND e.extname = ''pg_aside'' AND x.classid = ''pg_type''::regclass
                AND x.deptype = ''x'')', kind, its.source);
END $$;
COMMENT ON FUNCTION aside.definitions_settle(text) IS
    'Makes a table of definitions follow the proxies. Returns the definitions that have ended; the caller must delete these.';

CREATE FUNCTION aside.changed_here(writer xid) RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(writer::text = (pg_current_xact_id_if_assigned()::text::numeric % 4294967296)::text, false) $$;
COMMENT ON FUNCTION aside.changed_here(xid) IS 'Returns whether this transaction has written the row with this xmin.';

CREATE FUNCTION aside.definition_reason(inert boolean, owner text, role oid) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN inert THEN pg_catalog.format('its owner, role "%s", was lost in a restore: it belongs to nobody', owner)
        ELSE aside.definition_obstacle(role) END $$;
COMMENT ON FUNCTION aside.definition_reason(boolean, text, oid) IS 'Returns why a definition cannot run now. Returns NULL if it can.';

-- Each option is its name, its value, whether the value is allowed, and what it must be.
CREATE FUNCTION aside.check_options(whose text, options text[]) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one text[];
BEGIN
    FOREACH one SLICE 1 IN ARRAY options LOOP
        IF one[3]::boolean IS NOT TRUE THEN
            RAISE EXCEPTION 'invalid value for option "%" of %: %', one[1], whose, coalesce('"' || one[2] || '"', 'NULL')
                USING ERRCODE = '22023', DETAIL = format('The option must be %s.', one[4]);
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION aside.check_options(text, text[]) IS 'Raises an error (22023) that names the first option of a definition whose value is not allowed.';

-- The views of users ask these.
GRANT EXECUTE ON FUNCTION
    aside.definition_owner(text, bigint, text), aside.definition_obstacle(oid), aside.definition_reason(boolean, text, oid)
TO aside_user;
