-- Claim: with unique_until => 'start' an event has its unique key until its first attempt begins, with 'end', the default, until it has
-- ended; a cancel frees it in either case.
\set SHOW_CONTEXT never
SELECT async_event_on('regress_unique', command => 'SELECT pg_advisory_xact_lock_shared(773, 0)', concurrency => 5);
SELECT async_event_pause('regress_unique');
CREATE VIEW regress_waits AS SELECT id, unique_key, unique_until, state FROM aside.events WHERE channel = 'regress_unique';
SELECT async_event_emit('regress_unique', unique_key => 's', unique_until => 'start') AS s \gset
SELECT async_event_emit('regress_unique', unique_key => 'e', unique_until => 'end') AS e \gset
SELECT async_event_emit('regress_unique', unique_key => 'd') AS d \gset
SELECT async_event_emit('regress_unique', unique_until => 'start') > 0, async_event_emit('regress_unique', unique_key => 'n', unique_until => NULL) > 0;
SELECT unique_key, unique_until, state FROM regress_waits ORDER BY id;
-- while they wait
SELECT async_event_emit('regress_unique', unique_key => k, on_conflict => 'keep', unique_until => 'start') = i
    FROM (VALUES ('s', :s), ('e', :e), ('d', :d)) v (k, i);
\set VERBOSITY terse
SELECT async_event_emit('regress_unique', unique_key => 's', unique_until => 'start');
\set VERBOSITY default
-- a cancel frees it at once
BEGIN;
SELECT async_event_cancel(:s);
SELECT async_event_emit('regress_unique', unique_key => 's', unique_until => 'start') AS s \gset
COMMIT;
-- while they run: those of 'start' are free, for one that waits again
SELECT pg_advisory_lock(773, 0);
SELECT async_event_resume('regress_unique');
CALL until('(SELECT count(*) FROM pg_locks WHERE locktype = ''advisory'' AND classid = 773 AND NOT granted) = 5');
SELECT async_event_pause('regress_unique');
SELECT unique_key, unique_until FROM regress_waits WHERE state = 'running' ORDER BY id;
SELECT async_event_emit('regress_unique', unique_key => k, on_conflict => 'keep', unique_until => 'start') = i AS kept
    FROM (VALUES ('s', :s), ('e', :e), ('d', :d)) v (k, i);
SELECT pg_advisory_unlock(773, 0);
SELECT async_event_resume('regress_unique');
CALL until('NOT EXISTS (SELECT FROM regress_waits WHERE state NOT IN (''done'', ''cancelled''))');
SELECT unique_key, unique_until, state, count(*) FROM regress_waits GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SELECT count(*) FROM aside.event_unique WHERE channel = 'regress_unique';
-- by a handler, for the next time: while it runs its own key is free
CREATE FUNCTION regress_again(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF (e.payload ->> 'n')::int < 3 THEN
        PERFORM async_event_emit('regress_again', jsonb_build_object('n', (e.payload ->> 'n')::int + 1), unique_key => 'one', unique_until => 'start');
    END IF;
END $$;
SELECT async_event_on('regress_again', 'regress_again(aside.event)', max_attempts => 1);
SELECT count(async_event_emit('regress_again', '{"n": 1}', unique_key => 'one', unique_until => 'start'));
CALL until('(SELECT count(*) FROM aside.events WHERE channel = ''regress_again'' AND state = ''done'') = 3');
-- one that is dead, and emitted again, has its key until it begins again
CREATE FUNCTION regress_dies(e aside.event) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
SELECT async_event_on('regress_dies', 'regress_dies(aside.event)', max_attempts => 1);
SELECT count(async_event_emit('regress_dies', unique_key => 'one', unique_until => 'start'));
CALL until('EXISTS (SELECT FROM aside.dead_events WHERE handler = ''regress_dies'')');
SELECT async_event_pause('regress_dies');
SELECT async_event_redrive('regress_dies');
SELECT unique_key, unique_until FROM aside.events WHERE handler = 'regress_dies' AND state = 'waiting';
SELECT count(*) FROM aside.event_unique WHERE channel = 'regress_dies';
-- bad input
\set VERBOSITY terse
SELECT async_event_emit('regress_unique', unique_key => 's', unique_until => 'never');
SELECT async_event_emit('regress_unique', unique_key => 's', unique_until => '');
SELECT async_event_emit('regress_unique', unique_key => 's', unique_until => 1);
\set VERBOSITY default
SELECT async_event_off('regress_unique'), async_event_off('regress_again'), async_event_off('regress_dies');
DROP VIEW regress_waits;
DROP FUNCTION regress_again, regress_dies;
