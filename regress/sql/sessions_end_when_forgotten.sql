-- Claim: a session that nobody needs any more does not stay: DISCARD ALL closes
-- all, and one that is idle for too long ends with its transaction.
\set SHOW_CONTEXT never
CREATE TABLE regress_forgotten (x int);
CREATE FUNCTION regress_held() RETURNS bigint LANGUAGE sql AS
    $$SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711$$;
-- as a pooler does before the next client
SELECT autonomous_session_open('a'), autonomous_session_open('b'), autonomous_session_open('c');
SELECT autonomous_session_exec('a', 'BEGIN; INSERT INTO regress_forgotten VALUES (1); SELECT pg_advisory_lock(4711)');
SELECT autonomous_session_send('b', 'SELECT pg_sleep(60)');
SELECT autonomous_session_send('c', 'SELECT 1');
SELECT regress_held();
DISCARD ALL;
SELECT count(*) FROM autonomous_sessions();
SELECT regress_held(), (SELECT count(*) FROM regress_forgotten) AS rows;
SELECT autonomous_session_exec('a', 'SELECT 1');
-- nothing to close; nor by the lesser ones
DISCARD ALL;
SELECT autonomous_session_open('a');
DISCARD PLANS;
DISCARD TEMP;
DISCARD SEQUENCES;
SELECT autonomous_session_exec('a', 'SELECT 1');
SELECT autonomous_session_close('a');

-- idle for too long
SET aside.session_idle_timeout = '700ms';
SELECT autonomous_session_open('idle');
SELECT autonomous_session_exec('idle', 'SELECT pg_sleep(1.2)') AS busy_is_not_idle;
RESET aside.session_idle_timeout;
CALL until($$(SELECT state = 'lost' FROM autonomous_sessions() WHERE session = 'idle')$$);
SELECT autonomous_session_exec('idle', 'SELECT 1');
-- with a transaction block open
SET idle_in_transaction_session_timeout = '700ms';
SELECT autonomous_session_open('block');
RESET idle_in_transaction_session_timeout;
SELECT autonomous_session_exec('block', 'SELECT 1');
SELECT pg_sleep(1.2);
SELECT autonomous_session_exec('block', 'BEGIN; INSERT INTO regress_forgotten VALUES (2); SELECT pg_advisory_lock(4711)');
CALL until($$(SELECT state = 'lost' FROM autonomous_sessions() WHERE session = 'block')$$);
SELECT autonomous_session_exec('block', 'SELECT 1');
SELECT regress_held(), (SELECT count(*) FROM regress_forgotten) AS rows;
-- with results that nobody reads
SELECT autonomous_session_open('unread');
SELECT autonomous_session_send('unread', 'SET aside.session_idle_timeout = ''700ms''; SELECT pg_advisory_lock(4711)');
CALL until($$(SELECT state = 'lost' FROM autonomous_sessions() WHERE session = 'unread')$$);
SELECT autonomous_session_exec('unread', 'SELECT 1');
SELECT regress_held();
-- the names are free
SELECT autonomous_session_open('idle'), autonomous_session_open('block');
SELECT autonomous_session_close('idle'), autonomous_session_close('block');

-- statement_timeout: of each statement, and as the statement before has set it
SET statement_timeout = '1500ms';
SELECT async_exec('SELECT pg_sleep(1); SELECT pg_sleep(1)') AS each \gset
SELECT async_exec('SET statement_timeout = 0; SELECT pg_sleep(2)') AS unset \gset
SELECT async_exec('SELECT 1; SELECT pg_sleep(60)') AS long \gset
RESET statement_timeout;
SELECT async_wait(:each), async_wait(:unset), async_wait(:long);
SELECT state, sqlstate FROM aside.tasks WHERE id IN (:each, :unset, :long) ORDER BY id;
SELECT autonomous_exec('SET statement_timeout = ''200ms''; SELECT pg_sleep(60)');
DROP FUNCTION regress_held;
DROP TABLE regress_forgotten;
