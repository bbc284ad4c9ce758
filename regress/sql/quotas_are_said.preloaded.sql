-- Claim: a role that may have so many tasks, events or handlers, and a channel
-- that may have so many handlers, gets no more, and is told which setting that is.
\set VERBOSITY default
\set SHOW_CONTEXT never
CREATE ROLE regress_aside_quota LOGIN IN ROLE aside_user;
SET aside.checkout_timeout = '100ms';
-- tasks: ended ones make room, others do not
SET aside.max_tasks_per_role = 2;
SET ROLE regress_aside_quota;
SELECT async_wait(async_exec('SELECT 1')) FROM generate_series(1, 4);
SELECT count(*) FROM aside.tasks WHERE owner = current_user;
SELECT pg_advisory_lock(4732);
SELECT async_exec('SELECT pg_advisory_xact_lock_shared(4732)') AS one \gset
SELECT async_exec('SELECT pg_advisory_xact_lock_shared(4732)') AS other \gset
SELECT async_exec('SELECT 1');
SELECT pg_advisory_unlock(4732);
SELECT async_wait(:one), async_wait(:other);
SELECT async_wait(async_exec('SELECT 1'));
RESET ROLE;
RESET aside.max_tasks_per_role;
-- events: what has ended makes room, what was rolled back or has no handler does not count
SELECT pg_advisory_lock(4733);
SELECT async_event_on('quota events', command => 'SELECT pg_advisory_xact_lock_shared(4733)');
SET aside.max_events_per_role = 3;
SET ROLE regress_aside_quota;
SELECT count(async_event_emit('quota nobody')) FROM generate_series(1, 5);
SELECT count(async_event_emit('quota events')) FROM generate_series(1, 4);
BEGIN;
SELECT count(async_event_emit('quota events')) FROM generate_series(1, 3);
ROLLBACK;
SELECT count(async_event_emit('quota events')) FROM generate_series(1, 2);
SELECT async_event_emit('quota events') IS NOT NULL AS third;
SELECT async_event_emit('quota events');
RESET ROLE;
SELECT count(async_event_emit('quota events')) AS of_another FROM generate_series(1, 2);
SELECT pg_advisory_unlock(4733);
CALL until($$NOT EXISTS (SELECT FROM aside.events WHERE channel = 'quota events' AND state <> 'done')$$);
SET ROLE regress_aside_quota;
SELECT async_event_emit('quota events') IS NOT NULL AS room;
RESET ROLE;
RESET aside.max_events_per_role;
SELECT async_event_off('quota events');
-- handlers
SET aside.max_handlers_per_role = 2;
SET ROLE regress_aside_quota;
SELECT async_event_on('quota ' || i, command => 'SELECT 1') FROM generate_series(1, 2) i;
SELECT async_event_on('quota 3', command => 'SELECT 1');
RESET ROLE;
RESET aside.max_handlers_per_role;
SET aside.max_handlers_per_channel = 1;
SELECT async_event_on('quota 1', command => 'SELECT 1', name => 'second');
SELECT async_event_on('quota 3', command => 'SELECT 1');
RESET aside.max_handlers_per_channel;
SELECT count(async_event_off('quota ' || i)) FROM generate_series(1, 3) i;
-- schedules; one that is replaced is not one more
SET aside.max_schedules_per_role = 2;
SET ROLE regress_aside_quota;
SELECT count(schedule_set('quota ' || i, '@yearly', 'SELECT 1')) FROM generate_series(1, 2) i;
SELECT schedule_set('quota 3', '@yearly', 'SELECT 1');
SELECT count(schedule_set('quota 2', '@daily', 'SELECT 1'));
RESET ROLE;
SELECT count(schedule_set('quota 4', '@yearly', 'SELECT 1')) AS of_another;
RESET aside.max_schedules_per_role;
SELECT count(schedule_drop(name)) FROM aside.schedules;
-- jobs; those that have ended make room
CREATE TABLE quota_rows (id int PRIMARY KEY);
INSERT INTO quota_rows VALUES (1);
GRANT SELECT ON quota_rows TO regress_aside_quota;
SELECT pg_advisory_lock(4734);
SET aside.max_jobs_per_role = 2;
SET ROLE regress_aside_quota;
SELECT count(parallel_start('quota ' || i, 'SELECT pg_advisory_xact_lock_shared(4734), $1, $2', 'quota_rows')) FROM generate_series(1, 2) i;
SELECT parallel_start('quota 3', 'SELECT $1, $2', 'quota_rows');
RESET ROLE;
SELECT count(parallel_start('quota 4', 'SELECT $1, $2', 'quota_rows')) AS of_another;
SELECT pg_advisory_unlock(4734);
SET ROLE regress_aside_quota;
SELECT bool_and(parallel_wait('quota ' || i, '60 s')) FROM generate_series(1, 2) i;
SELECT count(parallel_start('quota 3', 'SELECT $1, $2', 'quota_rows')) AS room;
SELECT parallel_wait('quota 3', '60 s');
RESET ROLE;
RESET aside.max_jobs_per_role;
SELECT parallel_wait('quota 4', '60 s');
SELECT count(parallel_drop(name)) FROM aside.parallel_jobs;
DROP TABLE quota_rows;
RESET aside.checkout_timeout;
DROP ROLE regress_aside_quota;
