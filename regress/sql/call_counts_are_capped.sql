-- Claim: arguments of a command and ids of a list are at most as many as a message of the protocol has; more is refused at
-- once, at each entry point, and as many are served.
\set VERBOSITY terse
SELECT autonomous_exec('SELECT 1 WHERE $2000000 IS NULL', VARIADIC array_fill(1, ARRAY[2000000]));
SELECT autonomous_query_as(NULL::int, 'SELECT 1', VARIADIC array_fill(1, ARRAY[65536]));
SELECT * FROM autonomous_query('SELECT 1', VARIADIC array_fill(1, ARRAY[65536])) AS t(a int);
SELECT autonomous_json('SELECT 1', VARIADIC array_fill(1, ARRAY[65536]));
SELECT async_exec('SELECT 1', VARIADIC array_fill(1, ARRAY[65536]));
SELECT async_exec_on_commit('SELECT 1', VARIADIC array_fill(1, ARRAY[65536]));
SELECT async_run(1, 'SELECT 1', VARIADIC array_fill(1, ARRAY[65536]));
SELECT autonomous_session_open('s');
SELECT autonomous_session_exec('s', 'SELECT 1', VARIADIC array_fill(1, ARRAY[65536]));
SELECT * FROM autonomous_session_query('s', 'SELECT 1', VARIADIC array_fill(1, ARRAY[65536])) AS t(a int);
SELECT autonomous_session_send('s', 'SELECT 1', VARIADIC array_fill(1, ARRAY[65536]));
SELECT autonomous_session_close('s');
SELECT autonomous_exec('SELECT 1 WHERE $65535 = 1', VARIADIC array_fill(1, ARRAY[65535]));

SET statement_timeout = '10 s';
SELECT async_wait_any(array_fill(1::bigint, ARRAY[6000000]), '0 s');
SELECT async_wait_any(array_fill(9223372036854775807, ARRAY[65535]), '0 s');
SELECT async_exec('SELECT 1') AS task \gset
SELECT async_wait_any(array_fill(:task::bigint, ARRAY[65535])) = :task AS ended;
