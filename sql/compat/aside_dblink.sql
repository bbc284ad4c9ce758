/* aside_dblink: dblink's functions over autonomous sessions, in the schema named at CREATE EXTENSION; what they share, in schema aside. */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION aside_dblink" to load this file. \quit

-- Not here: dblink_get_pkey and dblink_build_sql_*, which make no connection, and its foreign data wrapper: use dblink for those.
--
-- The connection named x is the session "dblink:x", the unnamed one "dblink"; one that lasts for a call, "dblink transient n".
-- Functions that run commands are in C: they see the caller's search_path, and add nothing to an error's context.

CREATE FUNCTION aside.dblink_sessions(OUT session text, OUT database name, OUT pid int, OUT state text, OUT opened timestamptz)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_sessions';
COMMENT ON FUNCTION aside.dblink_sessions() IS
    'For aside_dblink: does what autonomous_sessions() does, under a name that does not depend on the schema of pg_aside.';

-- Connection strings.
CREATE FUNCTION aside.dblink_is_own_socket(directory text) RETURNS boolean
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- A definer's, for only some roles may read the setting.
    RETURN rtrim(directory, '/') IN (
        SELECT rtrim(trim(BOTH '" ' FROM d), '/') FROM string_to_table(current_setting('unix_socket_directories'), ',') d);
END
$$;
COMMENT ON FUNCTION aside.dblink_is_own_socket(text) IS 'For aside_dblink: true if this server listens on a socket in the directory.';
CREATE FUNCTION aside.dblink_is_own_address(host text) RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'aside_dblink_is_own_address';
COMMENT ON FUNCTION aside.dblink_is_own_address(text) IS
    'For aside_dblink: true if the text is an address or the name of this host, and this server listens there.';

CREATE FUNCTION aside.dblink_uri_decode(part text) RETURNS text
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT convert_from(decode(string_agg(
                CASE WHEN length(c[1]) = 3 THEN right(c[1], 2) ELSE encode(convert_to(c[1], getdatabaseencoding()), 'hex') END,
                '' ORDER BY n), 'hex'), getdatabaseencoding())
            FROM regexp_matches(part, '%[0-9A-Fa-f]{2}|.', 'g') WITH ORDINALITY m(c, n));
END
$$;

COMMENT ON FUNCTION aside.dblink_uri_decode(text) IS 'For aside_dblink: returns a part of a URI with its %-escapes decoded.';
CREATE FUNCTION aside.dblink_conninfo(conninfo text, OUT options jsonb, OUT wrong text)
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    rest text := conninfo;
    part text[];
    pair text;
BEGIN
    options := '{}';
    IF conninfo ~ '^postgres(ql)?://' THEN
        part := regexp_match(conninfo,
            '^postgres(?:ql)?://(?:([^:@/?]*)(?::([^@/?]*))?@)?(\[[^]]*\]|[^:/?]*)(?::([^/?]*))?(?:/([^?]*))?(?:\?(.*))?$');
        IF part IS NULL THEN
            wrong := 'invalid URI';
        ELSE
            FOR i IN 1 .. 5 LOOP
                IF part[i] <> '' THEN
                    options := options || jsonb_build_object((ARRAY['user', 'password', 'host', 'port', 'dbname'])[i],
                                                             aside.dblink_uri_decode(trim(BOTH '[]' FROM part[i])));
                END IF;
            END LOOP;
            FOREACH pair IN ARRAY coalesce(string_to_array(nullif(part[6], ''), '&'), '{}') LOOP
                options := options || jsonb_build_object(aside.dblink_uri_decode(split_part(pair, '=', 1)),
                                                         coalesce(aside.dblink_uri_decode(substr(pair, strpos(pair, '=') + 1)), ''));
            END LOOP;
        END IF;
        rest := '';
    END IF;
    LOOP
        rest := regexp_replace(rest, '^\s+', '');
        EXIT WHEN rest = '';
        part := regexp_match(rest, '^([^=\s]*)\s*=\s*(''?)(.*)$');
        IF part IS NULL THEN
            wrong := format('missing "=" after "%s" in connection info string', substring(rest FROM '^[^=\s]*'));
            EXIT;
        END IF;
        pair := part[1];
        IF part[2] = '' THEN
            part := regexp_match(part[3], '^((?:[^\s\\]|\\.)*)\\?(.*)$');
        ELSE
            part := regexp_match(part[3], '^((?:[^''\\]|\\.)*)''(.*)$');
            IF part IS NULL THEN
                wrong := 'unterminated quoted string in connection info string';
                EXIT;
            END IF;
        END IF;
        options := options || jsonb_build_object(pair, regexp_replace(part[1], '\\(.)', '\1', 'g'));
        rest := part[2];
    END LOOP;
END
$$;
COMMENT ON FUNCTION aside.dblink_conninfo(text) IS
    'For aside_dblink: reads a connection string, of keywords and values or a URI, as libpq does. Returns its options, or what is wrong with it.';

CREATE FUNCTION aside.dblink_setup(options text) RETURNS jsonb
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    settings jsonb := '{}';
    word text;
    part text[];
    named boolean := false;
BEGIN
    FOR word IN SELECT regexp_replace(m[1], '\\(.)', '\1', 'g') FROM regexp_matches(options, '((?:[^\s\\]|\\.)+)', 'g') m LOOP
        IF word = '-c' AND NOT named THEN
            named := true;
            CONTINUE;
        END IF;
        part := regexp_match(word, CASE WHEN named THEN '^([^=]+)=(.*)$' ELSE '^(?:-c|--)([^=]+)=(.*)$' END);
        IF part IS NULL THEN
            RETURN NULL;
        END IF;
        settings := settings || jsonb_build_object(replace(part[1], '-', '_'), part[2]);
        named := false;
    END LOOP;
    RETURN CASE WHEN NOT named THEN settings END;
END
$$;
COMMENT ON FUNCTION aside.dblink_setup(text) IS
    'For aside_dblink: returns the settings that the option "options" of a connection string makes. Returns NULL if it asks for anything else.';

CREATE FUNCTION aside.dblink_target(conninfo text, OUT database text, OUT settings text[], OUT setup text,
    OUT state text, OUT detail text, OUT hint text)
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    options jsonb;
    named jsonb := '{}';
    keyword text;
    value text;
    refused text;
BEGIN
    SELECT c.options, c.wrong INTO options, detail FROM aside.dblink_conninfo(conninfo) c;
    IF detail IS NOT NULL THEN
        state := '08001';
        RETURN;
    END IF;
    database := coalesce(nullif(options ->> 'dbname', ''), current_database());
    FOR keyword, value IN SELECT * FROM jsonb_each_text(options) ORDER BY 1 LOOP
        CASE
        WHEN keyword IN ('password', 'passfile', 'connect_timeout', 'client_encoding', 'fallback_application_name',
                         'require_auth', 'channel_binding', 'load_balance_hosts', 'tcp_user_timeout', 'requiressl',
                         'requirepeer', 'krbsrvname', 'min_protocol_version', 'max_protocol_version', 'dbname')
            OR keyword ~ '^(keepalives|ssl|gss|scram_|oauth_)' OR value = '' AND keyword IN
                ('host', 'hostaddr', 'port', 'user', 'options', 'application_name', 'service', 'servicefile', 'replication',
                 'target_session_attrs') THEN
            NULL;
        WHEN keyword = 'host' AND options ->> 'hostaddr' <> '' THEN
            NULL; -- looked up by nobody
        WHEN keyword IN ('host', 'hostaddr') THEN
            IF EXISTS (SELECT FROM string_to_table(value, ',') h
                       WHERE lower(trim(h)) NOT IN ('', 'localhost', '127.0.0.1', '::1')
                           AND NOT aside.dblink_is_own_address(trim(h))
                           AND (keyword = 'hostaddr' OR NOT aside.dblink_is_own_socket(trim(h)))) THEN
                refused := format('%s "%s" is not known to be this server.', keyword, value);
            END IF;
        WHEN keyword = 'port' THEN
            IF EXISTS (SELECT FROM string_to_table(value, ',') p WHERE trim(p) NOT IN ('', current_setting('port'))) THEN
                refused := format('port "%s" is not this server''s, which is %s.', value, current_setting('port'));
            END IF;
        WHEN keyword = 'user' THEN
            IF value NOT IN (session_user, current_user) THEN
                refused := format('user "%s" is not the session user, who is "%s".', value, session_user);
            ELSIF value <> current_user THEN
                setup := 'SET SESSION ROLE NONE';
            END IF;
        WHEN keyword = 'application_name' THEN
            named := named || jsonb_build_object(keyword, value);
        WHEN keyword = 'options' THEN
            named := aside.dblink_setup(value) || named;
            IF named IS NULL THEN
                refused := format('options "%s" do more than setting parameters.', value);
            END IF;
        WHEN keyword = 'replication' AND lower(value) IN ('false', 'off', 'no', '0')
            OR keyword = 'target_session_attrs' AND value = 'any' THEN
            NULL;
        WHEN keyword IN ('service', 'servicefile', 'replication', 'target_session_attrs') THEN
            refused := format('%s "%s" is not understood.', keyword, value);
        ELSE
            state := '08001';
            detail := format('invalid connection option "%s"', keyword);
            RETURN;
        END CASE;
        EXIT WHEN refused IS NOT NULL;
    END LOOP;
    IF refused IS NOT NULL THEN
        state := '0A000';
        detail := refused;
        hint := 'Use dblink, which makes client connections.';
        RETURN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_database WHERE datname = database) THEN
        detail := format('database "%s" does not exist', database);
    ELSIF NOT (SELECT datallowconn FROM pg_database WHERE datname = database) THEN
        detail := format('database "%s" is not currently accepting connections', database);
    ELSIF NOT (has_database_privilege(session_user, database, 'CONNECT') AND has_database_privilege(database, 'CONNECT')) THEN
        detail := format('permission denied for database "%s"', database);
    END IF;
    IF detail IS NOT NULL THEN
        state := '08001';
        RETURN;
    END IF;
    -- Who acts is set in the session, all else before it begins.
    SELECT concat_ws('; ', setup, string_agg(format('SET SESSION %I = %L', n.key, n.value), '; ')) INTO setup
    FROM jsonb_each_text(named) n WHERE n.key IN ('role', 'session_authorization');
    setup := nullif(setup, '');
    settings := (SELECT array_agg(x ORDER BY n.key, x_number)
                 FROM jsonb_each_text(named) n, unnest(ARRAY[n.key, n.value]) WITH ORDINALITY u(x, x_number)
                 WHERE n.key NOT IN ('role', 'session_authorization', 'client_encoding'));
END
$$;
COMMENT ON FUNCTION aside.dblink_target(text) IS
    'For aside_dblink: returns the database that a connection string names, and the settings (names and values in turn) and the command that do the rest of what it asks for. Or returns how to refuse it: 0A000 if it names another server or user, 08001 if it cannot be read or the database cannot be connected to.';

-- dblink's functions.
CREATE FUNCTION dblink_connect(text) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_connect_function';
COMMENT ON FUNCTION dblink_connect(text) IS
    'Opens the unnamed connection, or replaces it: a session in the database of this server that a connection string or foreign server names.';
CREATE FUNCTION dblink_connect(text, text) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_connect_function';
COMMENT ON FUNCTION dblink_connect(text, text) IS
    'Opens a named connection: a session in the database of this server that a connection string or foreign server names. A name that is taken raises 42710.';
-- Nobody logs in, so there is no password that these would not ask for: they are as the two above, and not a definer's.
CREATE FUNCTION dblink_connect_u(text) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_connect_function';
COMMENT ON FUNCTION dblink_connect_u(text) IS
    'Opens the unnamed connection, or replaces it: a session in the database of this server that a connection string or foreign server names.';
CREATE FUNCTION dblink_connect_u(text, text) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_connect_function';
COMMENT ON FUNCTION dblink_connect_u(text, text) IS
    'Opens a named connection: a session in the database of this server that a connection string or foreign server names. A name that is taken raises 42710.';
CREATE FUNCTION dblink_disconnect() RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_disconnect_function';
COMMENT ON FUNCTION dblink_disconnect() IS
    'Closes the unnamed connection, and rolls back what it had not committed. Raises 08003 if there is none.';
CREATE FUNCTION dblink_disconnect(text) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_disconnect_function';
COMMENT ON FUNCTION dblink_disconnect(text) IS
    'Closes a connection, and rolls back what it had not committed. Raises 08003 if there is none.';
CREATE FUNCTION dblink_get_connections() RETURNS text[]
LANGUAGE sql VOLATILE PARALLEL UNSAFE
RETURN (SELECT pg_catalog.array_agg(pg_catalog.substr(s.session, 8) ORDER BY s.session COLLATE "C") FROM aside.dblink_sessions() s
        WHERE starts_with(s.session, 'dblink:'));
COMMENT ON FUNCTION dblink_get_connections() IS 'Returns the names of the open connections. Returns NULL if there are none.';
CREATE FUNCTION dblink(text) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink';
COMMENT ON FUNCTION dblink(text) IS
    'Runs a command over the unnamed connection. Returns the rows of the last result, each column read by the expected type from the connection''s text; if there are no rows, the command tag as one text.';
CREATE FUNCTION dblink(text, boolean) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink';
COMMENT ON FUNCTION dblink(text, boolean) IS
    'Runs a command over the unnamed connection. Returns the rows of the last result, each column read by the expected type from the connection''s text; if there are no rows, the command tag as one text. With false, a remote error becomes a notice, and no rows are returned.';
CREATE FUNCTION dblink(text, text) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink';
COMMENT ON FUNCTION dblink(text, text) IS
    'Runs a command over a named connection, or over a new one that lasts for this call. Returns the rows of the last result, each column read by the expected type from the connection''s text; if there are no rows, the command tag as one text.';
CREATE FUNCTION dblink(text, text, boolean) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink';
COMMENT ON FUNCTION dblink(text, text, boolean) IS
    'Runs a command over a named connection, or over a new one that lasts for this call. Returns the rows of the last result, each column read by the expected type from the connection''s text; if there are no rows, the command tag as one text. With false, a remote error becomes a notice, and no rows are returned.';
CREATE FUNCTION dblink_exec(text) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_exec';
COMMENT ON FUNCTION dblink_exec(text) IS
    'Runs a command over the unnamed connection, and returns its command tag. A command that returns rows raises 2F003.';
CREATE FUNCTION dblink_exec(text, boolean) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_exec';
COMMENT ON FUNCTION dblink_exec(text, boolean) IS
    'Runs a command over the unnamed connection, and returns its command tag. A command that returns rows raises 2F003. With false, a remote error becomes a notice, and the result is ERROR.';
CREATE FUNCTION dblink_exec(text, text) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_exec';
COMMENT ON FUNCTION dblink_exec(text, text) IS
    'Runs a command over a named connection, or over a new one that lasts for this call, and returns its command tag. A command that returns rows raises 2F003.';
CREATE FUNCTION dblink_exec(text, text, boolean) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_exec';
COMMENT ON FUNCTION dblink_exec(text, text, boolean) IS
    'Runs a command over a named connection, or over a new one that lasts for this call, and returns its command tag. A command that returns rows raises 2F003. With false, a remote error becomes a notice, and the result is ERROR.';
CREATE FUNCTION dblink_open(text, text) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_open';
COMMENT ON FUNCTION dblink_open(text, text) IS
    'Opens a cursor for a query over the unnamed connection. Begins a transaction if none is open.';
CREATE FUNCTION dblink_open(text, text, boolean) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_open';
COMMENT ON FUNCTION dblink_open(text, text, boolean) IS
    'Opens a cursor for a query over the unnamed connection. Begins a transaction if none is open. With false, a remote error becomes a notice, and the result is ERROR.';
CREATE FUNCTION dblink_open(text, text, text) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_open';
COMMENT ON FUNCTION dblink_open(text, text, text) IS
    'Opens a cursor for a query over a connection. Begins a transaction if none is open.';
CREATE FUNCTION dblink_open(text, text, text, boolean) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_open';
COMMENT ON FUNCTION dblink_open(text, text, text, boolean) IS
    'Opens a cursor for a query over a connection. Begins a transaction if none is open. With false, a remote error becomes a notice, and the result is ERROR.';
CREATE FUNCTION dblink_fetch(text, int) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_fetch';
COMMENT ON FUNCTION dblink_fetch(text, int) IS
    'Returns the next rows of a cursor over the unnamed connection, up to the given number.';
CREATE FUNCTION dblink_fetch(text, int, boolean) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_fetch';
COMMENT ON FUNCTION dblink_fetch(text, int, boolean) IS
    'Returns the next rows of a cursor over the unnamed connection, up to the given number. With false, a remote error becomes a notice, and no rows are returned.';
CREATE FUNCTION dblink_fetch(text, text, int) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_fetch';
COMMENT ON FUNCTION dblink_fetch(text, text, int) IS
    'Returns the next rows of a cursor over a connection, up to the given number.';
CREATE FUNCTION dblink_fetch(text, text, int, boolean) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_fetch';
COMMENT ON FUNCTION dblink_fetch(text, text, int, boolean) IS
    'Returns the next rows of a cursor over a connection, up to the given number. With false, a remote error becomes a notice, and no rows are returned.';
CREATE FUNCTION dblink_close(text) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_close';
COMMENT ON FUNCTION dblink_close(text) IS
    'Closes a cursor over the unnamed connection. The last one also commits the transaction that dblink_open began.';
CREATE FUNCTION dblink_close(text, boolean) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_close';
COMMENT ON FUNCTION dblink_close(text, boolean) IS
    'Closes a cursor over the unnamed connection. The last one also commits the transaction that dblink_open began. With false, a remote error becomes a notice, and the result is ERROR.';
CREATE FUNCTION dblink_close(text, text) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_close';
COMMENT ON FUNCTION dblink_close(text, text) IS
    'Closes a cursor over a connection. The last one also commits the transaction that dblink_open began.';
CREATE FUNCTION dblink_close(text, text, boolean) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_close';
COMMENT ON FUNCTION dblink_close(text, text, boolean) IS
    'Closes a cursor over a connection. The last one also commits the transaction that dblink_open began. With false, a remote error becomes a notice, and the result is ERROR.';
CREATE FUNCTION dblink_send_query(text, text) RETURNS int
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_send_query';
COMMENT ON FUNCTION dblink_send_query(text, text) IS
    'Sends a command and does not wait for its end. Returns 0, with a notice, if another command is in progress.';
CREATE FUNCTION dblink_is_busy(text) RETURNS int
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_is_busy';
COMMENT ON FUNCTION dblink_is_busy(text) IS
    'Returns 1 while the command that was sent runs, 0 if it only waits to be read.';
CREATE FUNCTION dblink_get_result(text) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_get_result';
COMMENT ON FUNCTION dblink_get_result(text) IS
    'Returns the next result of the command that was sent, as dblink() does. Returns no rows if all results have been read.';
CREATE FUNCTION dblink_get_result(text, boolean) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_get_result';
COMMENT ON FUNCTION dblink_get_result(text, boolean) IS
    'Returns the next result of the command that was sent, as dblink() does. Returns no rows if all results have been read. With false, a remote error becomes a notice, and no rows are returned.';
CREATE FUNCTION dblink_cancel_query(text) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_cancel_query';
COMMENT ON FUNCTION dblink_cancel_query(text) IS
    'Cancels the command that was sent, and does not wait for its end.';
CREATE FUNCTION dblink_error_message(text) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_error_message';
COMMENT ON FUNCTION dblink_error_message(text) IS
    'Returns the error of the last command with its DETAIL, HINT and CONTEXT, as libpq formats it. Returns OK if it raised none.';
CREATE FUNCTION dblink_get_notify(OUT notify_name text, OUT be_pid int, OUT extra text) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_get_notify';
COMMENT ON FUNCTION dblink_get_notify() IS 'Returns the notifications that have arrived for the unnamed connection, each once.';
CREATE FUNCTION dblink_get_notify(conname text, OUT notify_name text, OUT be_pid int, OUT extra text) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_get_notify';
COMMENT ON FUNCTION dblink_get_notify(text) IS 'Returns the notifications that have arrived for a connection, each once.';

-- For members of aside_user only, as what they call.
DO $grant$
DECLARE
    function regprocedure;
BEGIN
    FOR function IN
        SELECT p.oid FROM pg_catalog.pg_proc p, pg_catalog.pg_depend d, pg_catalog.pg_extension e
        WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid OPERATOR(pg_catalog.=) p.oid
            AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid OPERATOR(pg_catalog.=) e.oid
            AND d.deptype OPERATOR(pg_catalog.=) 'e' AND e.extname OPERATOR(pg_catalog.=) 'aside_dblink'
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', function);
        EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO aside_user', function);
    END LOOP;
END
$grant$;
