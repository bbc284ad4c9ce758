-- Role: what all definitions share, a handler of events being one.

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
    aside.definition_owner(text, bigint, text), aside.definition_obstacle(oid)
TO aside_user;
