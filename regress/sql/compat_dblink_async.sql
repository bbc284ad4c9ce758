-- Claim: dblink_send_query returns at once, and what comes of it is read one
-- result a call; it can be asked for, cancelled and left unread; notifications
-- come once.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION aside_dblink;
RESET client_min_messages;
CREATE TABLE regress_t (a int);

SELECT dblink_connect('one', '');
SELECT dblink_is_busy('one');
SELECT * FROM dblink_get_result('one') AS t(a int);
-- several statements, one result a call, then an empty one
SELECT dblink_send_query('one', 'SELECT g, ''x'' || g FROM generate_series(1, 2) g; INSERT INTO regress_t VALUES (1); SELECT 2.50');
SELECT * FROM dblink_get_result('one') AS t(a int, b text);
SELECT * FROM dblink_get_result('one') AS t(status text);
SELECT * FROM dblink_get_result('one') AS t(a numeric(3,1));
SELECT * FROM dblink_get_result('one') AS t(a int);
SELECT * FROM dblink_get_result('one') AS t(a int);
-- while it runs
SELECT dblink_send_query('one', 'INSERT INTO regress_t VALUES (2); SELECT ''slept'' FROM pg_sleep(1)');
SELECT dblink_is_busy('one');
SELECT dblink_send_query('one', 'SELECT 1');
SELECT dblink_exec('one', 'SELECT 1');
SELECT * FROM dblink('one', 'SELECT 1', false) AS t(a int);
CALL until($$dblink_is_busy('one') = 0$$);
SELECT dblink_is_busy('one');
SELECT * FROM dblink_get_result('one') AS t(a text);
SELECT * FROM dblink_get_result('one') AS t(a text);
SELECT dblink_exec('one', 'INSERT INTO regress_t VALUES (3)');
SELECT a FROM regress_t ORDER BY a;
-- an error midway, as an error and as a notice
SELECT dblink_send_query('one', 'SELECT 1; SELECT 1/0; SELECT 3');
SELECT * FROM dblink_get_result('one') AS t(a int);
SELECT * FROM dblink_get_result('one') AS t(a int);
SELECT * FROM dblink_get_result('one') AS t(a int);
SELECT dblink_error_message('one');
SELECT dblink_send_query('one', 'SELECT * FROM nothing');
SELECT * FROM dblink_get_result('one', false) AS t(a int);
SELECT * FROM dblink_get_result('one', false) AS t(a int);
SELECT dblink_error_message('one');
-- other columns than it has: that is this side's
SELECT dblink_send_query('one', 'SELECT 1, 2');
SELECT * FROM dblink_get_result('one') AS t(a int);
SELECT * FROM dblink_get_result('one') AS t(a int, b int);
-- more than a queue holds: it waits to be read, and is not busy
SELECT dblink_send_query('one', 'SELECT g, repeat(''x'', 100) FROM generate_series(1, 10000) g');
CALL until($$dblink_is_busy('one') = 0$$);
SELECT count(*), sum(a), sum(length(b)) FROM dblink_get_result('one') AS t(a int, b text);
SELECT * FROM dblink_get_result('one') AS t(a int, b text);
-- two at once
SELECT dblink_connect('two', '');
SELECT dblink_error_message('two');
SELECT dblink_send_query('one', 'SELECT 1 FROM pg_sleep(0.2)'), dblink_send_query('two', 'SELECT 2 FROM pg_sleep(0.2)');
SELECT o.a, t.a FROM dblink_get_result('one') AS o(a int), dblink_get_result('two') AS t(a int);
-- cancelled; nothing to cancel
SELECT dblink_send_query('one', 'INSERT INTO regress_t SELECT 4 FROM pg_sleep(60)');
SELECT dblink_cancel_query('one'), dblink_cancel_query('one');
SELECT * FROM dblink_get_result('one') AS t(a text);
SELECT dblink_cancel_query('one');
SELECT dblink_exec('one', 'INSERT INTO regress_t VALUES (5)');
SELECT a FROM regress_t WHERE a > 3;
-- left unread: disconnecting cancels what runs
SELECT dblink_send_query('one', 'INSERT INTO regress_t SELECT 6 FROM pg_sleep(60)');
SELECT dblink_disconnect('one');
SELECT count(*) FROM regress_t WHERE a = 6;
-- the caller's rollback is nothing to it
BEGIN;
SELECT dblink_send_query('two', 'INSERT INTO regress_t VALUES (7)');
ROLLBACK;
CALL until($$dblink_is_busy('two') = 0$$);
SELECT a FROM regress_t WHERE a = 7;
SELECT * FROM dblink_get_result('two') AS t(status text);

-- notifications
SELECT dblink_exec('two', 'LISTEN regress_a'), dblink_exec('two', 'LISTEN "Regress b"');
SELECT * FROM dblink_get_notify('two');
NOTIFY regress_a;
NOTIFY "Regress b", 'payload';
SELECT dblink_exec('two', 'NOTIFY regress_a, ''from itself''');
SELECT notify_name, be_pid = pg_backend_pid() AS by_me, extra FROM dblink_get_notify('two');
SELECT * FROM dblink_get_notify('two');
SELECT dblink_exec('two', 'UNLISTEN *');
NOTIFY regress_a;
SELECT * FROM dblink_get_notify('two');
SELECT * FROM dblink_get_notify();
SELECT dblink_connect(''), dblink_exec('LISTEN regress_a');
NOTIFY regress_a, 'unnamed';
SELECT notify_name, be_pid = pg_backend_pid() AS by_me, extra FROM dblink_get_notify();
SELECT dblink_disconnect(), dblink_disconnect('two');

-- no such connection: 08003
SELECT dblink_send_query('two', 'SELECT 1');
SELECT dblink_is_busy('two');
SELECT * FROM dblink_get_result('two') AS t(a int);
SELECT dblink_cancel_query('two');
SELECT dblink_error_message('two');
SELECT * FROM dblink_get_notify('two');

-- a connection whose worker was terminated says so once, and can then be opened again
SELECT dblink_connect('one', '');
SELECT count(pg_terminate_backend(pid, 10000)) FROM autonomous_sessions();
SELECT dblink_exec('one', 'SELECT 1');
SELECT dblink_connect('one', ''), dblink_exec('one', 'INSERT INTO regress_t VALUES (8)');
SELECT count(pg_terminate_backend(pid, 10000)) FROM autonomous_sessions();
SELECT dblink_connect('one', ''), dblink_disconnect('one');

DROP TABLE regress_t;
DROP EXTENSION aside_dblink;
