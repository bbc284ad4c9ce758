-- Role: calls: a command in an autonomous transaction, and who called it. In C: c-shim/sql/tx.c.

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
    'Runs SQL in an autonomous transaction, which commits before the function returns. Returns how many rows the last statement processed. A NULL command raises 22004.';
COMMENT ON FUNCTION autonomous_exec(text, "any") IS
    'Runs SQL with parameters $1... in an autonomous transaction, which commits before the function returns. Returns how many rows the last statement processed. A NULL command raises 22004.';
COMMENT ON FUNCTION autonomous_query(text) IS
    'Runs SQL in an autonomous transaction. Returns the rows of the last statement, assigned to the column definition list. Rows that do not fit raise 42804.';
COMMENT ON FUNCTION autonomous_query(text, "any") IS
    'Runs SQL with parameters $1... in an autonomous transaction. Returns the rows of the last statement, assigned to the column definition list. Rows that do not fit raise 42804.';
COMMENT ON FUNCTION autonomous_query_as(anyelement, text) IS
    'Runs SQL in an autonomous transaction. Returns the rows of the last statement as values of the type of the first argument. The first argument''s value is not used.';
COMMENT ON FUNCTION autonomous_query_as(anyelement, text, "any") IS
    'Runs SQL with parameters $1... in an autonomous transaction. Returns the rows of the last statement as values of the type of the first argument. The first argument''s value is not used.';
COMMENT ON FUNCTION autonomous_json(text) IS
    'Runs SQL in an autonomous transaction. Returns each row of the last statement as a jsonb object.';
COMMENT ON FUNCTION autonomous_json(text, "any") IS
    'Runs SQL with parameters $1... in an autonomous transaction. Returns each row of the last statement as a jsonb object.';

CREATE FUNCTION aside.caller(OUT pid int, OUT client_pid int, OUT depth int, OUT session_user_name name, OUT user_name name,
    OUT application_name text, OUT client_addr inet, OUT client_port int, OUT server_addr inet, OUT server_port int,
    OUT query text, OUT xid xid8, OUT stack text)
RETURNS record LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'aside_caller';
COMMENT ON FUNCTION aside.caller() IS
    'Says who started the autonomous transaction or task in which the function is called: the calling process, the client at the top, and that client''s statement and transaction. All columns are NULL elsewhere, and in the handler of an event.';

GRANT EXECUTE ON FUNCTION
    autonomous_exec(text), autonomous_exec(text, "any"),
    autonomous_query(text), autonomous_query(text, "any"),
    autonomous_query_as(anyelement, text), autonomous_query_as(anyelement, text, "any"),
    autonomous_json(text), autonomous_json(text, "any"),
    aside.caller()
TO aside_user;
