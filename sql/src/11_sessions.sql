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
    'Opens a session: a worker that keeps transactions, cursors, temporary tables and settings across calls, in this database or another one. A name that is taken raises 42710.';
COMMENT ON FUNCTION autonomous_session_exec(text, text) IS
    'Runs SQL in a session. Returns the command tag of the last statement. Raises 08003 if there is no such session, 55000 if the session is busy.';
COMMENT ON FUNCTION autonomous_session_exec(text, text, "any") IS
    'Runs SQL with parameters $1... in a session. Returns the command tag of the last statement. Raises 08003 if there is no such session, 55000 if the session is busy.';
COMMENT ON FUNCTION autonomous_session_query(text, text) IS
    'Runs SQL in a session. Returns the rows of the last statement, assigned to the column definition list. Rows that do not fit raise 42804.';
COMMENT ON FUNCTION autonomous_session_query(text, text, "any") IS
    'Runs SQL with parameters $1... in a session. Returns the rows of the last statement, assigned to the column definition list. Rows that do not fit raise 42804.';
COMMENT ON FUNCTION autonomous_session_send(text, text) IS
    'Sends SQL to a session and does not wait for its end. autonomous_session_result reads the results.';
COMMENT ON FUNCTION autonomous_session_send(text, text, "any") IS
    'Sends SQL with parameters $1... to a session and does not wait for its end. autonomous_session_result reads the results.';
COMMENT ON FUNCTION autonomous_session_is_busy(text) IS
    'True while the command that was sent to a session runs. False if there is none, or if the command only waits for its results to be read.';
COMMENT ON FUNCTION autonomous_session_result(text) IS
    'Waits for the next result set of the command that was sent, and returns it. Returns no rows when all result sets have been read. Raises the command''s error.';
COMMENT ON FUNCTION autonomous_session_cancel(text) IS
    'Cancels the command that was sent to a session, and does not wait for its end. Returns false if there was nothing to cancel.';
COMMENT ON FUNCTION autonomous_session_error(text) IS
    'Returns the message of the last error that a command of the session raised. Returns NULL if none did.';
COMMENT ON FUNCTION autonomous_session_notifications(text) IS
    'Returns the notifications on the channels that the session listens to, in their order of arrival. Each is returned once.';
COMMENT ON FUNCTION autonomous_session_close(text) IS
    'Closes a session: cancels its command, and rolls back its open transaction. Raises 08003 if there is no such session.';
COMMENT ON FUNCTION autonomous_sessions() IS 'Lists the autonomous sessions that the calling session has open.';

GRANT EXECUTE ON FUNCTION
    autonomous_session_open(text, name),
    autonomous_session_exec(text, text), autonomous_session_exec(text, text, "any"),
    autonomous_session_query(text, text), autonomous_session_query(text, text, "any"),
    autonomous_session_send(text, text), autonomous_session_send(text, text, "any"),
    autonomous_session_is_busy(text), autonomous_session_result(text), autonomous_session_cancel(text),
    autonomous_session_error(text), autonomous_session_notifications(text), autonomous_session_close(text),
    autonomous_sessions()
TO aside_user;
