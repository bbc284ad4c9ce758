/* aside_dblink 0.1.0: dblink's functions over autonomous sessions, in the schema named at CREATE EXTENSION; what they share, in schema aside. */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION aside_dblink" to load this file. \quit

-- Not here: dblink_get_pkey and dblink_build_sql_*, which make no connection, and foreign servers: use dblink for those.
--
-- The connection named x is the session "dblink:x", the unnamed one "dblink"; one that lasts for a call, "dblink transient n".
-- Nothing may depend on the caller's search_path, and it must not be set either, where a session is opened: the session
-- begins with the caller's settings. Hence bodies that are parsed here, or qualified names; SET only where text is looked at.

-- pg_aside's own functions, under names that do not depend on its schema.
CREATE FUNCTION aside.dblink_session_open(session text, database name) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_open';
CREATE FUNCTION aside.dblink_session_send(session text, command text) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_send';
CREATE FUNCTION aside.dblink_session_is_busy(session text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_is_busy';
CREATE FUNCTION aside.dblink_session_cancel(session text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_cancel';
CREATE FUNCTION aside.dblink_session_error(session text) RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_error';
CREATE FUNCTION aside.dblink_session_notifications(session text, OUT channel text, OUT payload text, OUT pid int)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_notifications';
CREATE FUNCTION aside.dblink_session_close(session text) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_close';
CREATE FUNCTION aside.dblink_sessions(OUT session text, OUT database name, OUT pid int, OUT state text, OUT opened timestamptz)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_sessions';

CREATE FUNCTION aside.dblink_do(session text, doing text, command text, fail boolean) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_do';
COMMENT ON FUNCTION aside.dblink_do(text, text, text, boolean) IS
    'for aside_dblink: the first value of a command in a session, or its tag; NULL if it failed and may, which a notice has told';

-- Connection strings.
CREATE FUNCTION aside.dblink_is_own_socket(directory text) RETURNS boolean
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- A definer's, for only some roles may read the setting.
    RETURN rtrim(directory, '/') IN (
        SELECT rtrim(trim(BOTH '" ' FROM d), '/') FROM string_to_table(current_setting('unix_socket_directories'), ',') d);
END
$$;
COMMENT ON FUNCTION aside.dblink_is_own_socket(text) IS 'for aside_dblink: does this server listen on a socket in the directory?';

CREATE FUNCTION aside.dblink_uri_decode(part text) RETURNS text
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT convert_from(decode(string_agg(
                CASE WHEN length(c[1]) = 3 THEN right(c[1], 2) ELSE encode(convert_to(c[1], getdatabaseencoding()), 'hex') END,
                '' ORDER BY n), 'hex'), getdatabaseencoding())
            FROM regexp_matches(part, '%[0-9A-Fa-f]{2}|.', 'g') WITH ORDINALITY m(c, n));
END
$$;

CREATE FUNCTION aside.dblink_conninfo(conninfo text) RETURNS jsonb
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    options jsonb := '{}';
    wrong text;
    rest text := conninfo;
    part text[];
    pair text;
BEGIN
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
    IF wrong IS NOT NULL THEN
        RAISE 'could not establish connection'
            USING ERRCODE = 'sqlclient_unable_to_establish_sqlconnection', DETAIL = wrong;
    END IF;
    RETURN options;
END
$$;
COMMENT ON FUNCTION aside.dblink_conninfo(text) IS
    'for aside_dblink: the options of a connection string, keywords and values or a URI, as libpq reads it (08001 if it cannot be read)';

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
    'for aside_dblink: settings that the option "options" of a connection string makes; NULL if it asks for something else';

CREATE FUNCTION aside.dblink_target(conninfo text, OUT database name, OUT setup text)
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    options jsonb;
    settings jsonb := '{}';
    keyword text;
    value text;
    refused text;
BEGIN
    IF EXISTS (SELECT FROM pg_foreign_server WHERE srvname = conninfo) THEN
        refused := format('"%s" is a foreign server.', conninfo);
    ELSE
        options := aside.dblink_conninfo(conninfo);
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
                           AND (keyword = 'hostaddr' OR NOT aside.dblink_is_own_socket(trim(h)))) THEN
                refused := format('%s "%s" is not known to be this server.', keyword, value);
            END IF;
        WHEN keyword = 'port' THEN
            IF EXISTS (SELECT FROM string_to_table(value, ',') p WHERE trim(p) NOT IN ('', current_setting('port'))) THEN
                refused := format('port "%s" is not this server''s, which is %s.', value, current_setting('port'));
            END IF;
        WHEN keyword = 'user' THEN
            IF value <> session_user THEN
                refused := format('user "%s" is not the session user, who is "%s".', value, session_user);
            ELSIF current_user <> session_user THEN
                setup := 'SET SESSION ROLE NONE';
            END IF;
        WHEN keyword = 'application_name' THEN
            settings := settings || jsonb_build_object(keyword, value);
        WHEN keyword = 'options' THEN
            settings := aside.dblink_setup(value) || settings;
            IF settings IS NULL THEN
                refused := format('options "%s" do more than setting parameters.', value);
            END IF;
        WHEN keyword = 'replication' AND lower(value) IN ('false', 'off', 'no', '0')
            OR keyword = 'target_session_attrs' AND value = 'any' THEN
            NULL;
        WHEN keyword IN ('service', 'servicefile', 'replication', 'target_session_attrs') THEN
            refused := format('%s "%s" is not understood.', keyword, value);
        ELSE
            RAISE 'could not establish connection'
                USING ERRCODE = 'sqlclient_unable_to_establish_sqlconnection',
                    DETAIL = format('invalid connection option "%s"', keyword);
        END CASE;
        EXIT WHEN refused IS NOT NULL;
    END LOOP;
    IF refused IS NOT NULL THEN
        RAISE 'connection string is not served by aside_dblink'
            USING ERRCODE = 'feature_not_supported', DETAIL = refused, HINT = 'Use dblink, which makes client connections.';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_database WHERE datname = database) THEN
        refused := format('database "%s" does not exist', database);
    ELSIF NOT (SELECT datallowconn FROM pg_database WHERE datname = database) THEN
        refused := format('database "%s" is not currently accepting connections', database);
    ELSIF NOT (has_database_privilege(session_user, database, 'CONNECT') AND has_database_privilege(database, 'CONNECT')) THEN
        refused := format('permission denied for database "%s"', database);
    END IF;
    IF refused IS NOT NULL THEN
        RAISE 'could not establish connection'
            USING ERRCODE = 'sqlclient_unable_to_establish_sqlconnection', DETAIL = refused;
    END IF;
    IF settings <> '{}' THEN
        setup := concat_ws('; ', setup, (SELECT 'SELECT ' || string_agg(
            format('pg_catalog.set_config(%L, %L, false)', s.key, s.value), ', ') FROM jsonb_each_text(settings) s));
    END IF;
END
$$;
COMMENT ON FUNCTION aside.dblink_target(text) IS
    'for aside_dblink: the database that a connection string names, and a command that does the rest of what it asks for; 0A000 if it names another server or user, 08001 if it cannot be read or the database cannot be connected to';

CREATE FUNCTION aside.dblink_open(session text, conninfo text) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE AS $$
DECLARE
    target pg_catalog.record;
BEGIN
    target := aside.dblink_target(conninfo);
    PERFORM aside.dblink_session_open(session, target.database);
    IF target.setup IS NOT NULL THEN
        BEGIN
            PERFORM aside.dblink_do(session, 'opening it', target.setup, true);
        EXCEPTION WHEN query_canceled OR OTHERS THEN
            PERFORM aside.dblink_session_close(session);
            RAISE;
        END;
    END IF;
END
$$;
COMMENT ON FUNCTION aside.dblink_open(text, text) IS 'for aside_dblink: open a session as a connection string says';

-- Connections by name; NULL is the unnamed one.
CREATE FUNCTION aside.dblink_session(name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN coalesce('dblink:' OPERATOR(pg_catalog.||) name::name::text, 'dblink');
COMMENT ON FUNCTION aside.dblink_session(text) IS 'for aside_dblink: name of the session that a connection is';

CREATE FUNCTION aside.dblink_state(session text) RETURNS text
LANGUAGE sql VOLATILE PARALLEL UNSAFE
RETURN (SELECT s.state FROM aside.dblink_sessions() s WHERE s.session = dblink_state.session);
COMMENT ON FUNCTION aside.dblink_state(text) IS 'for aside_dblink: state of a session; NULL if there is none';

CREATE FUNCTION aside.dblink_need(name text) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE AS $$
DECLARE
    session pg_catalog.text := aside.dblink_session(name);
BEGIN
    IF aside.dblink_state(session) IS NULL THEN
        RAISE '%', pg_catalog.format(CASE WHEN name IS NULL THEN 'connection not available' ELSE 'connection "%s" not available' END, name)
            USING ERRCODE = 'connection_does_not_exist';
    END IF;
    RETURN session;
END
$$;
COMMENT ON FUNCTION aside.dblink_need(text) IS 'for aside_dblink: the session of a connection (08003 if there is none)';

CREATE FUNCTION aside.dblink_connect(name text, conninfo text) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE AS $$
DECLARE
    session pg_catalog.text := aside.dblink_session(name);
BEGIN
    IF aside.dblink_state(session) OPERATOR(pg_catalog.<>) 'lost' THEN
        PERFORM aside.dblink_target(conninfo);
        IF name IS NOT NULL THEN
            RAISE 'duplicate connection name' USING ERRCODE = 'duplicate_object';
        END IF;
        PERFORM aside.dblink_session_close(session);
    END IF;
    PERFORM aside.dblink_open(session, conninfo);
    RETURN 'OK';
END
$$;

CREATE FUNCTION aside.dblink_disconnect(name text) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE AS $$
BEGIN
    PERFORM aside.dblink_session_close(aside.dblink_need(name));
    RETURN 'OK';
END
$$;

-- Cursors. How many are open in a transaction that dblink_open began is a setting local to that transaction, in the
-- session itself: it ends with it, however it ends.
CREATE FUNCTION aside.dblink_open_cursor(name text, cursor text, command text, fail boolean) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE AS $$
DECLARE
    session pg_catalog.text := aside.dblink_need(name);
    doing pg_catalog.text := pg_catalog.format('opening cursor "%s"', cursor);
    cursors pg_catalog.text;
BEGIN
    BEGIN
        -- What is local is still there in the next command only within a transaction block.
        cursors := aside.dblink_do(session, doing, $q$SELECT pg_catalog.set_config('aside_dblink.in_block', 'yes', true);
            SELECT coalesce(pg_catalog.current_setting('aside_dblink.cursors', true), '')$q$, true);
        IF cursors OPERATOR(pg_catalog.=) '' AND aside.dblink_do(session, doing,
                $q$SELECT coalesce(pg_catalog.current_setting('aside_dblink.in_block', true), '')$q$, true) OPERATOR(pg_catalog.=) '' THEN
            PERFORM aside.dblink_do(session, doing, 'BEGIN', true);
            cursors := '0';
        END IF;
    EXCEPTION WHEN in_failed_sql_transaction THEN
        NULL; -- DECLARE will tell
    END;
    IF aside.dblink_do(session, doing, pg_catalog.format('DECLARE %s CURSOR FOR %s', cursor, command), fail) IS NULL THEN
        RETURN 'ERROR';
    END IF;
    IF cursors OPERATOR(pg_catalog.<>) '' THEN
        PERFORM aside.dblink_do(session, doing, pg_catalog.format('SELECT pg_catalog.set_config(''aside_dblink.cursors'', %L, true)',
                                                                  cursors::integer OPERATOR(pg_catalog.+) 1), true);
    END IF;
    RETURN 'OK';
END
$$;

CREATE FUNCTION aside.dblink_close_cursor(name text, cursor text, fail boolean) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE AS $$
DECLARE
    session pg_catalog.text := aside.dblink_need(name);
    doing pg_catalog.text := pg_catalog.format('closing cursor "%s"', cursor);
    cursors pg_catalog.text;
BEGIN
    IF aside.dblink_do(session, doing, pg_catalog.format('CLOSE %s', cursor), fail) IS NULL THEN
        RETURN 'ERROR';
    END IF;
    cursors := aside.dblink_do(session, doing, $q$SELECT coalesce(pg_catalog.current_setting('aside_dblink.cursors', true), '')$q$, true);
    IF cursors OPERATOR(pg_catalog.=) '1' THEN
        PERFORM aside.dblink_do(session, doing, 'COMMIT', true);
    ELSIF cursors OPERATOR(pg_catalog.<>) '' THEN
        PERFORM aside.dblink_do(session, doing, pg_catalog.format('SELECT pg_catalog.set_config(''aside_dblink.cursors'', %L, true)',
                                                                  cursors::integer OPERATOR(pg_catalog.-) 1), true);
    END IF;
    RETURN 'OK';
END
$$;

-- dblink's functions.
CREATE FUNCTION dblink_connect(text) RETURNS text
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE RETURN aside.dblink_connect(NULL, $1);
CREATE FUNCTION dblink_connect(text, text) RETURNS text
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE RETURN aside.dblink_connect($1, $2);
-- Nobody logs in, so there is no password that these would not ask for: they are as the two above, and not a definer's.
CREATE FUNCTION dblink_connect_u(text) RETURNS text
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE RETURN aside.dblink_connect(NULL, $1);
CREATE FUNCTION dblink_connect_u(text, text) RETURNS text
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE RETURN aside.dblink_connect($1, $2);
CREATE FUNCTION dblink_disconnect() RETURNS text
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE RETURN aside.dblink_disconnect(NULL);
CREATE FUNCTION dblink_disconnect(text) RETURNS text
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE RETURN aside.dblink_disconnect($1);
CREATE FUNCTION dblink_get_connections() RETURNS text[]
LANGUAGE sql VOLATILE PARALLEL UNSAFE
RETURN (SELECT pg_catalog.array_agg(pg_catalog.substr(s.session, 8) ORDER BY s.session COLLATE "C") FROM aside.dblink_sessions() s
        WHERE starts_with(s.session, 'dblink:'));

CREATE FUNCTION dblink(text) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink';
CREATE FUNCTION dblink(text, boolean) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink';
CREATE FUNCTION dblink(text, text) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink';
CREATE FUNCTION dblink(text, text, boolean) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink';

CREATE FUNCTION dblink_exec(text) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_exec';
CREATE FUNCTION dblink_exec(text, boolean) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_exec';
CREATE FUNCTION dblink_exec(text, text) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_exec';
CREATE FUNCTION dblink_exec(text, text, boolean) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_exec';

CREATE FUNCTION dblink_open(text, text) RETURNS text
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE RETURN aside.dblink_open_cursor(NULL, $1, $2, true);
CREATE FUNCTION dblink_open(text, text, boolean) RETURNS text
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE RETURN aside.dblink_open_cursor(NULL, $1, $2, $3);
CREATE FUNCTION dblink_open(text, text, text) RETURNS text
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE RETURN aside.dblink_open_cursor($1, $2, $3, true);
CREATE FUNCTION dblink_open(text, text, text, boolean) RETURNS text
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE RETURN aside.dblink_open_cursor($1, $2, $3, $4);

CREATE FUNCTION dblink_fetch(text, int) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_fetch';
CREATE FUNCTION dblink_fetch(text, int, boolean) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_fetch';
CREATE FUNCTION dblink_fetch(text, text, int) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_fetch';
CREATE FUNCTION dblink_fetch(text, text, int, boolean) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_fetch';

CREATE FUNCTION dblink_close(text) RETURNS text
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE RETURN aside.dblink_close_cursor(NULL, $1, true);
CREATE FUNCTION dblink_close(text, boolean) RETURNS text
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE RETURN aside.dblink_close_cursor(NULL, $1, $2);
CREATE FUNCTION dblink_close(text, text) RETURNS text
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE RETURN aside.dblink_close_cursor($1, $2, true);
CREATE FUNCTION dblink_close(text, text, boolean) RETURNS text
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE RETURN aside.dblink_close_cursor($1, $2, $3);

CREATE FUNCTION dblink_send_query(text, text) RETURNS int
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE AS $$
BEGIN
    PERFORM aside.dblink_session_send(aside.dblink_need($1), $2);
    RETURN 1;
EXCEPTION WHEN object_not_in_prerequisite_state THEN
    RAISE NOTICE 'could not send query: another command is already in progress';
    RETURN 0;
END
$$;
CREATE FUNCTION dblink_is_busy(text) RETURNS int
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE RETURN aside.dblink_session_is_busy(aside.dblink_need($1))::int;
CREATE FUNCTION dblink_get_result(text) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_get_result';
CREATE FUNCTION dblink_get_result(text, boolean) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_dblink_get_result';
CREATE FUNCTION dblink_cancel_query(text) RETURNS text
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE
RETURN CASE WHEN aside.dblink_session_cancel(aside.dblink_need($1)) IS NOT NULL THEN 'OK' END;
CREATE FUNCTION dblink_error_message(text) RETURNS text
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE
RETURN coalesce('ERROR:  ' OPERATOR(pg_catalog.||) aside.dblink_session_error(aside.dblink_need($1)), 'OK');

CREATE FUNCTION dblink_get_notify(OUT notify_name text, OUT be_pid int, OUT extra text) RETURNS SETOF record
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT n.channel, n.pid, n.payload FROM aside.dblink_session_notifications(aside.dblink_need(NULL)) n;
END;
CREATE FUNCTION dblink_get_notify(conname text, OUT notify_name text, OUT be_pid int, OUT extra text) RETURNS SETOF record
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT n.channel, n.pid, n.payload FROM aside.dblink_session_notifications(aside.dblink_need($1)) n;
END;

COMMENT ON FUNCTION dblink_connect(text) IS 'open the unnamed connection: a session in the database that a connection string to this server names';
COMMENT ON FUNCTION dblink_connect(text, text) IS 'open a connection under a name that is free (42710): a session in the database that a connection string to this server names';
COMMENT ON FUNCTION dblink(text, text) IS 'the last result of a command over a connection or connection string, its columns read as text by the expected types';
COMMENT ON FUNCTION dblink_exec(text, text) IS 'the tag of a command without rows (2F003) over a connection or connection string';
COMMENT ON FUNCTION dblink_open(text, text, text) IS 'open a cursor, in a transaction of its own if none is open';
COMMENT ON FUNCTION dblink_close(text, text) IS 'close a cursor; with the last one, commit the transaction that dblink_open began';

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
