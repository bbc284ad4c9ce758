-- Role: autonomous sessions, which keep their worker across calls. In C: c-shim/sql/session.c.

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

GRANT EXECUTE ON FUNCTION
    autonomous_session_open(text, name),
    autonomous_session_exec(text, text), autonomous_session_exec(text, text, "any"),
    autonomous_session_query(text, text), autonomous_session_query(text, text, "any"),
    autonomous_session_send(text, text), autonomous_session_send(text, text, "any"),
    autonomous_session_is_busy(text), autonomous_session_result(text), autonomous_session_cancel(text),
    autonomous_session_error(text), autonomous_session_notifications(text), autonomous_session_close(text),
    autonomous_sessions()
TO aside_user;
