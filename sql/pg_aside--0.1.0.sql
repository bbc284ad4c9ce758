/* pg_aside 0.1.0. Public functions go to the extension's schema, views to schema aside. */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION pg_aside" to load this file. \quit

CREATE SCHEMA aside;
COMMENT ON SCHEMA aside IS 'views of pg_aside';

-- Roles belong to the cluster: made once, and left there when the extension is dropped.
DO $role$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) 'aside_user') THEN
        CREATE ROLE aside_user NOLOGIN;
    END IF;
END
$role$;

CREATE FUNCTION autonomous_exec(command text) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_exec';
CREATE FUNCTION autonomous_exec(command text, VARIADIC args "any") RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_exec';

CREATE FUNCTION autonomous_query(command text) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_query';
CREATE FUNCTION autonomous_query(command text, VARIADIC args "any") RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_query';

CREATE FUNCTION autonomous_query_as(rowtype anyelement, command text) RETURNS SETOF anyelement
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_query_as';
CREATE FUNCTION autonomous_query_as(rowtype anyelement, command text, VARIADIC args "any") RETURNS SETOF anyelement
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_query_as';

CREATE FUNCTION autonomous_json(command text) RETURNS SETOF jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_json';
CREATE FUNCTION autonomous_json(command text, VARIADIC args "any") RETURNS SETOF jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_json';

COMMENT ON FUNCTION autonomous_exec(text) IS
    'run SQL in an autonomous transaction, which commits before this returns; rows processed by its last statement; NULL is an error (22004)';
COMMENT ON FUNCTION autonomous_exec(text, "any") IS
    'run SQL with parameters $1... in an autonomous transaction, which commits before this returns; rows processed by its last statement; a NULL command is an error (22004)';
COMMENT ON FUNCTION autonomous_query(text) IS
    'run SQL in an autonomous transaction and return the rows of its last statement, assigned to the column definition list (42804 if they do not fit)';
COMMENT ON FUNCTION autonomous_query(text, "any") IS
    'run SQL with parameters $1... in an autonomous transaction and return the rows of its last statement, assigned to the column definition list (42804 if they do not fit)';
COMMENT ON FUNCTION autonomous_query_as(anyelement, text) IS
    'run SQL in an autonomous transaction and return the rows of its last statement as the type of the first argument, whose value is not used';
COMMENT ON FUNCTION autonomous_query_as(anyelement, text, "any") IS
    'run SQL with parameters $1... in an autonomous transaction and return the rows of its last statement as the type of the first argument, whose value is not used';
COMMENT ON FUNCTION autonomous_json(text) IS
    'run SQL in an autonomous transaction and return the rows of its last statement, each as a jsonb object';
COMMENT ON FUNCTION autonomous_json(text, "any") IS
    'run SQL with parameters $1... in an autonomous transaction and return the rows of its last statement, each as a jsonb object';

CREATE FUNCTION autonomous_session_open(session text, database name DEFAULT current_database()) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_open';
CREATE FUNCTION autonomous_session_exec(session text, command text) RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_exec';
CREATE FUNCTION autonomous_session_exec(session text, command text, VARIADIC args "any") RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_exec';
CREATE FUNCTION autonomous_session_query(session text, command text) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_query';
CREATE FUNCTION autonomous_session_query(session text, command text, VARIADIC args "any") RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_query';
CREATE FUNCTION autonomous_session_send(session text, command text) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_send';
CREATE FUNCTION autonomous_session_send(session text, command text, VARIADIC args "any") RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_send';
CREATE FUNCTION autonomous_session_is_busy(session text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_is_busy';
CREATE FUNCTION autonomous_session_result(session text) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_result';
CREATE FUNCTION autonomous_session_cancel(session text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_cancel';
CREATE FUNCTION autonomous_session_error(session text) RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_error';
CREATE FUNCTION autonomous_session_notifications(session text, OUT channel text, OUT payload text, OUT pid int)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_notifications';
CREATE FUNCTION autonomous_session_close(session text) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_close';
CREATE FUNCTION autonomous_sessions(OUT session text, OUT database name, OUT pid int, OUT state text, OUT opened timestamptz)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_sessions';

COMMENT ON FUNCTION autonomous_session_open(text, name) IS
    'open a session under a name that is free (42710): a worker that keeps transactions, cursors, temporary tables and settings across calls, in this database or another one';
COMMENT ON FUNCTION autonomous_session_exec(text, text) IS
    'run SQL in a session and return the tag of its last statement; 08003 if there is no such session, 55000 if it is busy';
COMMENT ON FUNCTION autonomous_session_exec(text, text, "any") IS
    'run SQL with parameters $1... in a session and return the tag of its last statement; 08003 if there is no such session, 55000 if it is busy';
COMMENT ON FUNCTION autonomous_session_query(text, text) IS
    'run SQL in a session and return the rows of its last statement, assigned to the column definition list (42804 if they do not fit)';
COMMENT ON FUNCTION autonomous_session_query(text, text, "any") IS
    'run SQL with parameters $1... in a session and return the rows of its last statement, assigned to the column definition list (42804 if they do not fit)';
COMMENT ON FUNCTION autonomous_session_send(text, text) IS
    'send SQL to a session without waiting for it; autonomous_session_result reads what comes of it';
COMMENT ON FUNCTION autonomous_session_send(text, text, "any") IS
    'send SQL with parameters $1... to a session without waiting for it; autonomous_session_result reads what comes of it';
COMMENT ON FUNCTION autonomous_session_is_busy(text) IS
    'does the command that was sent to a session still run? false too when it waits for its results to be read';
COMMENT ON FUNCTION autonomous_session_result(text) IS
    'wait for the next result set of the command that was sent, and return it; no rows when all have been read; raises the command''s error';
COMMENT ON FUNCTION autonomous_session_cancel(text) IS
    'cancel the command that was sent to a session, without waiting; false if there was nothing to cancel';
COMMENT ON FUNCTION autonomous_session_error(text) IS
    'message of the last error that a command of the session raised; NULL if none did';
COMMENT ON FUNCTION autonomous_session_notifications(text) IS
    'notifications on the channels that the session listens to, each once, in the order in which they came';
COMMENT ON FUNCTION autonomous_session_close(text) IS
    'close a session: what runs is cancelled, an open transaction rolled back; 08003 if there is no such session';
COMMENT ON FUNCTION autonomous_sessions() IS 'the autonomous sessions that this session has open';

CREATE FUNCTION aside.session_query_text(session text, command text) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_session_query_text';
COMMENT ON FUNCTION aside.session_query_text(text, text) IS
    'for aside_dblink: the last result of a command in a session, its columns read as text by their types; the tag of one without rows';
CREATE FUNCTION aside.session_result_text(session text) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_session_result_text';
COMMENT ON FUNCTION aside.session_result_text(text) IS
    'for aside_dblink: autonomous_session_result, its columns read as text by their types; the tag of a statement without rows';

CREATE FUNCTION aside.plpgsql_call() RETURNS language_handler
LANGUAGE c AS 'MODULE_PATHNAME', 'aside_plpgsql_call';
COMMENT ON FUNCTION aside.plpgsql_call() IS 'handler of LANGUAGE plpgsql_autonomous';
CREATE FUNCTION aside.plpgsql_inline(internal) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'aside_plpgsql_inline';
COMMENT ON FUNCTION aside.plpgsql_inline(internal) IS 'DO blocks of LANGUAGE plpgsql_autonomous';
CREATE FUNCTION aside.plpgsql_validate(oid) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'aside_plpgsql_validate';
COMMENT ON FUNCTION aside.plpgsql_validate(oid) IS 'validator of LANGUAGE plpgsql_autonomous';

CREATE TRUSTED LANGUAGE plpgsql_autonomous
    HANDLER aside.plpgsql_call INLINE aside.plpgsql_inline VALIDATOR aside.plpgsql_validate;
COMMENT ON LANGUAGE plpgsql_autonomous IS 'PL/pgSQL routines whose whole execution is an autonomous transaction';
REVOKE ALL ON LANGUAGE plpgsql_autonomous FROM PUBLIC;
GRANT USAGE ON LANGUAGE plpgsql_autonomous TO aside_user;

CREATE FUNCTION aside.worker_rows(OUT slot int, OUT pid int, OUT state text, OUT database name, OUT username name,
    OUT caller_pid int, OUT depth int, OUT xid bigint, OUT calls bigint, OUT errors bigint,
    OUT started timestamptz, OUT last_used timestamptz, OUT generation bigint) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_workers';
COMMENT ON FUNCTION aside.worker_rows() IS 'rows of the view aside.workers';

CREATE FUNCTION aside.stat_rows(OUT kind text, OUT calls bigint, OUT errors bigint, OUT cancelled bigint, OUT rows bigint,
    OUT waits bigint, OUT wait_ms float8, OUT total_ms float8, OUT histogram bigint[]) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_stat';
COMMENT ON FUNCTION aside.stat_rows() IS 'rows of the view aside.stat';

CREATE VIEW aside.workers AS SELECT * FROM aside.worker_rows();
COMMENT ON VIEW aside.workers IS 'workers of the pool that this session uses: who they work for, and how much';
CREATE VIEW aside.stat AS SELECT * FROM aside.stat_rows();
COMMENT ON VIEW aside.stat IS
    'calls by kind since the pool was made; bucket i of the histogram, from 1, counts calls that took under 2^(i-1) microseconds';

REVOKE ALL ON FUNCTION
    autonomous_exec(text), autonomous_exec(text, "any"),
    autonomous_query(text), autonomous_query(text, "any"),
    autonomous_query_as(anyelement, text), autonomous_query_as(anyelement, text, "any"),
    autonomous_json(text), autonomous_json(text, "any"),
    autonomous_session_open(text, name),
    autonomous_session_exec(text, text), autonomous_session_exec(text, text, "any"),
    autonomous_session_query(text, text), autonomous_session_query(text, text, "any"),
    autonomous_session_send(text, text), autonomous_session_send(text, text, "any"),
    autonomous_session_is_busy(text), autonomous_session_result(text), autonomous_session_cancel(text),
    autonomous_session_error(text), autonomous_session_notifications(text), autonomous_session_close(text),
    autonomous_sessions(), aside.session_query_text(text, text), aside.session_result_text(text),
    aside.plpgsql_call(), aside.plpgsql_inline(internal), aside.plpgsql_validate(oid),
    aside.worker_rows(), aside.stat_rows()
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    autonomous_exec(text), autonomous_exec(text, "any"),
    autonomous_query(text), autonomous_query(text, "any"),
    autonomous_query_as(anyelement, text), autonomous_query_as(anyelement, text, "any"),
    autonomous_json(text), autonomous_json(text, "any"),
    autonomous_session_open(text, name),
    autonomous_session_exec(text, text), autonomous_session_exec(text, text, "any"),
    autonomous_session_query(text, text), autonomous_session_query(text, text, "any"),
    autonomous_session_send(text, text), autonomous_session_send(text, text, "any"),
    autonomous_session_is_busy(text), autonomous_session_result(text), autonomous_session_cancel(text),
    autonomous_session_error(text), autonomous_session_notifications(text), autonomous_session_close(text),
    autonomous_sessions(), aside.session_query_text(text, text), aside.session_result_text(text),
    aside.worker_rows(), aside.stat_rows()
TO aside_user;
GRANT USAGE ON SCHEMA aside TO aside_user;
GRANT SELECT ON aside.workers, aside.stat TO aside_user;
