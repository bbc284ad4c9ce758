-- Claim: without preloading there are no events, and each function says so; what
-- is not asked of a launcher can be seen.
SELECT aside.events_ready();
SELECT async_event_on('c', command => 'SELECT 1');
SELECT async_event_emit('c');
\set VERBOSITY sqlstate
SELECT async_event_on('c', command => 'SELECT 1');
SELECT async_event_off('c');
SELECT async_event_pause('c');
SELECT async_event_resume('c');
SELECT async_event_emit('c');
SELECT async_event_emit('c', '1', unique_key => 'k');
SELECT async_event_cancel(1);
SELECT async_event_redrive('c');
SELECT async_event_redrive('c', '{1}');
\set VERBOSITY default
SELECT count(*) FROM aside.handlers;
SELECT count(*) FROM aside.events;
SELECT count(*) FROM aside.dead_events;
SELECT count(*) FROM aside.event_runs;
SELECT count(*) FROM aside.event_stats;
SELECT count(*) FROM aside.coordinators;
-- a transaction goes on after it
BEGIN;
SAVEPOINT s;
\set VERBOSITY sqlstate
SELECT async_event_emit('c');
\set VERBOSITY default
ROLLBACK TO s;
SELECT autonomous_exec('SELECT 1');
COMMIT;
BEGIN;
SELECT 1 AS prepared;
PREPARE TRANSACTION 'regress_aside_1';
COMMIT PREPARED 'regress_aside_1';
