-- Role: what all definitions share, a handler of events being one.

-- Definitions: rows that have something run for a role later. Each has a proxy in the catalog, a type without a body that
-- the role owns: so DROP ROLE, REASSIGN OWNED, DROP OWNED and pg_dump do what they do for a table. See c-shim/definitions/definition.c.
CREATE FUNCTION aside.definition_owner(kind text, id bigint, name text) RETURNS oid
LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'aside_definition_owner_sql';
COMMENT ON FUNCTION aside.definition_owner(text, bigint, text) IS 'the role that a definition acts for; NULL: it has ended';
CREATE FUNCTION aside.definition_obstacle(owner oid) RETURNS text
LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'aside_definition_obstacle_sql';
COMMENT ON FUNCTION aside.definition_obstacle(oid) IS 'why nothing that a role has defined runs now; NULL: nothing keeps it';
CREATE FUNCTION aside.definition_end(kind text, id bigint, name text) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'aside_definition_end_sql';
COMMENT ON FUNCTION aside.definition_end(text, bigint, text) IS 'drops the proxy of a definition, if there is one';
CREATE FUNCTION aside.definition_keep(kind text, id bigint, name text) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'aside_definition_keep_sql';
COMMENT ON FUNCTION aside.definition_keep(text, bigint, text) IS 'makes the proxy of a definition go with the extension, after an upgrade of the server too';
CREATE FUNCTION aside.check_definition() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'aside_check_definition';
COMMENT ON FUNCTION aside.check_definition() IS 'refuses rows of definitions that act for a role whose privileges their author has not got';
CREATE FUNCTION aside.follow_definition() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'aside_follow_definition';
COMMENT ON FUNCTION aside.follow_definition() IS 'has the proxy of a definition follow its row';
CREATE FUNCTION aside.check_writer() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'aside_check_writer';
COMMENT ON FUNCTION aside.check_writer() IS 'refuses writes to a table by all but its owner and who has the owner''s privileges';

-- The views of users ask these.
GRANT EXECUTE ON FUNCTION
    aside.definition_owner(text, bigint, text), aside.definition_obstacle(oid)
TO aside_user;
