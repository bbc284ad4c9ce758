-- Claim: a paused handler starts nothing and loses nothing, one that is ended
-- drops what waits for it, and a cancelled event is not run.
\set SHOW_CONTEXT never
CREATE TABLE told (n serial, what text, attempt int);
CREATE VIEW todo AS SELECT FROM aside.events WHERE channel ~ '^stop' AND state IN ('waiting', 'running', 'retrying', 'delayed');
CREATE FUNCTION tells(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO told (what, attempt) VALUES (e.payload #>> '{}', e.attempt);
    IF e.payload = '"fails"' AND e.attempt = 1 THEN RAISE EXCEPTION 'as asked'; END IF;
    IF e.payload = '"waits"' OR e.payload = '"waits and fails"' THEN PERFORM pg_advisory_xact_lock(4721); END IF;
    IF e.payload = '"waits and fails"' THEN RAISE EXCEPTION 'as asked'; END IF;
END $$;
SELECT async_event_on('stop', 'tells(aside.event)', backoff => '0');
-- when an event of it has been handled, its channel is listened to
SELECT async_event_emit('stop', '"0"') > 0;
CALL until('(SELECT count(*) FROM told) = 1');
TRUNCATE told;

-- paused: nothing starts, also not what is due later or retried; resumed: all of it, once
SELECT async_event_pause('stop');
SELECT paused FROM aside.handlers WHERE name = 'stop';
SELECT async_event_emit('stop', '"1"') > 0, async_event_emit('stop', '"2"', delay => '50 ms') > 0;
NOTIFY stop, 'notified while paused';
CALL until('(SELECT run_at < clock_timestamp() FROM aside.events WHERE channel = ''stop'' AND payload = ''"2"'')');
CALL events_pass();
SELECT count(*) FROM told;
SELECT payload, state FROM aside.events WHERE channel = 'stop' AND state <> 'done' ORDER BY id;
SELECT async_event_emit('stop', '"3"') > 0;
SELECT async_event_resume('stop');
CALL until('(SELECT count(*) FROM told) = 4');
SELECT what FROM told ORDER BY what;
-- what runs goes on
TRUNCATE told;
SELECT pg_advisory_lock(4721);
SELECT async_event_emit('stop', '"waits"') > 0;
CALL until('EXISTS (SELECT FROM pg_locks WHERE locktype = ''advisory'' AND objid = 4721 AND NOT granted)');
SELECT async_event_pause('stop');
SELECT async_event_emit('stop', '"after"') > 0;
SELECT pg_advisory_unlock(4721);
CALL until('(SELECT count(*) FROM told) = 1');
CALL events_pass();
SELECT what FROM told;
-- a pause that is taken back
BEGIN;
SELECT async_event_resume('stop');
ROLLBACK;
CALL events_pass();
SELECT what FROM told;
SELECT async_event_resume('stop');
CALL until('(SELECT count(*) FROM told) = 2');

-- cancelled while it waits, is delayed, is to be tried again
TRUNCATE told;
SELECT async_event_pause('stop');
SELECT async_event_emit('stop', '"waiting"') AS e1 \gset
SELECT async_event_emit('stop', '"delayed"', delay => '1 hour') AS e2 \gset
SELECT async_event_cancel(:e1), async_event_cancel(:e2);
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT payload, state FROM aside.events WHERE id IN (:e1, :e2) ORDER BY id;
SELECT async_event_cancel(:e1), async_event_cancel(:e2);
SELECT async_event_resume('stop');
SELECT async_event_emit('stop', '"done"') AS e3 \gset
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT async_event_cancel(:e3), async_event_cancel(0), async_event_cancel(-1), async_event_cancel(9223372036854775807);
SELECT async_event_off('stop');
SELECT async_event_on('stop', 'tells(aside.event)', backoff => '10 hours');
SELECT async_event_emit('stop', '"fails"') AS e4 \gset
CALL until(format('(SELECT state = ''retrying'' FROM aside.events WHERE id = %s)', :e4));
SELECT async_event_cancel(:e4);
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT state, attempts FROM aside.events WHERE id = :e4;
SELECT what FROM told;
-- the cancel is the transaction's
SELECT async_event_emit('stop', '"delayed"', delay => '1 hour') AS e5 \gset
BEGIN;
SELECT async_event_cancel(:e5);
ROLLBACK;
CALL events_pass();
SELECT state FROM aside.events WHERE id = :e5;
BEGIN;
SELECT async_event_cancel(:e5);
SAVEPOINT s;
SELECT async_event_cancel(:e5);
ROLLBACK TO s;
COMMIT;
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT state FROM aside.events WHERE id = :e5;
-- in the transaction that emits it
BEGIN;
SELECT async_event_emit('stop', '"never mind"') AS e6 \gset
SELECT async_event_cancel(:e6);
COMMIT;
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT state FROM aside.events WHERE id = :e6;
-- while it runs: it may succeed, and is not tried again
SELECT async_event_off('stop');
SELECT async_event_on('stop', 'tells(aside.event)', backoff => '0');
TRUNCATE told;
SELECT pg_advisory_lock(4721);
SELECT async_event_emit('stop', '"waits"') AS e7 \gset
CALL until('EXISTS (SELECT FROM pg_locks WHERE locktype = ''advisory'' AND objid = 4721 AND NOT granted)');
SELECT async_event_cancel(:e7);
CALL events_pass();
SELECT pg_advisory_unlock(4721);
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT state FROM aside.events WHERE id = :e7;
SELECT pg_advisory_lock(4721);
SELECT async_event_emit('stop', '"waits and fails"') AS e8 \gset
CALL until('EXISTS (SELECT FROM pg_locks WHERE locktype = ''advisory'' AND objid = 4721 AND NOT granted)');
SELECT async_event_cancel(:e8);
CALL events_pass();
SELECT pg_advisory_unlock(4721);
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT state FROM aside.events WHERE id = :e8;
SELECT what FROM told ORDER BY n;
-- an event that nobody handles
SELECT async_event_emit('stop nobody') AS e9 \gset
SELECT async_event_cancel(:e9);
-- of several handlers: for all of them
SELECT async_event_on('stop', 'tells(aside.event)', name => 'stop_2');
SELECT async_event_emit('stop', '"of two"', delay => '1 hour') AS e10 \gset
SELECT async_event_cancel(:e10);
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT handler, state FROM aside.events WHERE id = :e10 ORDER BY handler;

-- off: what waits is dropped, what runs comes to its end
TRUNCATE told;
SELECT pg_advisory_lock(4721);
SELECT async_event_off('stop_2');
SELECT async_event_emit('stop', '"waits"') > 0;
CALL until('EXISTS (SELECT FROM pg_locks WHERE locktype = ''advisory'' AND objid = 4721 AND NOT granted)');
SELECT async_event_emit('stop', '"dropped"') > 0, async_event_emit('stop', '"dropped later"', delay => '100 ms') > 0;
SELECT async_event_off('stop');
CALL events_pass();
SELECT pg_advisory_unlock(4721);
CALL until('(SELECT count(*) FROM told) = 1');
CALL events_pass(delay => '100 ms');
SELECT what FROM told;
SELECT DISTINCT handler, state FROM aside.events WHERE channel = 'stop';
-- one of that name begins anew
SELECT async_event_on('stop', 'tells(aside.event)');
SELECT async_event_emit('stop', '"new"') > 0;
CALL until('(SELECT count(*) FROM told) = 2');
SELECT what FROM told ORDER BY n;
-- an end that is taken back
BEGIN;
SELECT async_event_off('stop');
ROLLBACK;
SELECT async_event_emit('stop', '"still there"') > 0;
CALL until('(SELECT count(*) FROM told) = 3');
-- on and off, again and again
DO $$ BEGIN FOR i IN 1..30 LOOP PERFORM async_event_off('stop'); COMMIT; PERFORM async_event_on('stop', 'tells(aside.event)'); COMMIT; PERFORM async_event_emit('stop', to_jsonb('round ' || i)); COMMIT; END LOOP; END $$;
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT count(*) > 0 AS some, count(*) = count(DISTINCT what) AS none_twice, bool_or(what = 'round 30') AS the_last FROM told WHERE what ~ 'round';
SELECT async_event_off('stop');
CALL until('(SELECT state = ''idle'' FROM aside.coordinators WHERE database = current_database())');
SELECT state, failures FROM aside.coordinators WHERE database = current_database();
DROP VIEW todo;
DROP TABLE told;
DROP FUNCTION tells;
