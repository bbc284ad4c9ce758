-- The state of one event is looked up by an index; no view reads a table once for each row of another.
\set VERBOSITY terse
CREATE FUNCTION plan_of(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE 'EXPLAIN (COSTS OFF) ' || query;
END $$;

-- each state, as aside.events says it
CREATE FUNCTION state_handler(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF e.payload = '"fail"' THEN RAISE EXCEPTION 'it fails: %', e.id - (e.headers ->> 'first')::bigint; END IF;
    IF e.payload = '"run"' THEN PERFORM pg_advisory_xact_lock(8807); END IF;
END $$;
SELECT async_event_on('states', 'state_handler(aside.event)', name => 'states', concurrency => 3, max_attempts => 2, backoff => '1 hour');
SELECT async_event_on('states', command => 'SELECT 1', name => 'states too');
SELECT async_event_pause('states too');
BEGIN;
SELECT pg_advisory_lock(8807);
SELECT async_event_emit('states', '"well"') AS well, async_event_emit('states', '"later"', delay => '1 hour') AS later \gset
SELECT async_event_emit('states', '"fail"', headers => jsonb_build_object('first', :well)) AS fail,
    async_event_emit('states', '"no"', delay => '1 hour') AS cancelled, async_event_emit('states', '"run"') AS run \gset
COMMIT;
SELECT async_event_cancel(:cancelled);
CALL until($$(SELECT string_agg(state, ' ' ORDER BY id) FROM aside.events WHERE handler = 'states') = 'done delayed retrying cancelled running'
    AND EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 8807 AND NOT granted)$$);
SELECT e.payload, s.handler, s.state, s.attempts, s.sqlstate, s.message, s.next_at > now() AS later
FROM (VALUES (1, :well, 'well'), (2, :later, 'later'), (3, :fail, 'fail'), (4, :cancelled, 'cancelled'), (5, :run, 'run')) e (n, id, payload),
    async_event_state(e.id) s ORDER BY e.n, s.handler;
SELECT count(*) AS different FROM aside.events e LEFT JOIN LATERAL async_event_state(e.id) s ON s.handler = e.handler
WHERE e.channel = 'states' AND (s.state, s.attempts) IS DISTINCT FROM (e.state, e.attempts);
SELECT handler, waiting, delayed, retrying, running, done, dead, failures FROM aside.event_stats WHERE channel = 'states' ORDER BY handler;
-- nobody's
SELECT * FROM async_event_state(0);
SELECT * FROM async_event_state(NULL);

-- who may see it
CREATE ROLE regress_state_emitter IN ROLE aside_user;
CREATE ROLE regress_state_other IN ROLE aside_user;
SET ROLE regress_state_emitter;
SELECT async_event_emit('states', '"fail"', headers => '{"first": 0}') AS theirs \gset
RESET ROLE;
CALL until(format('(SELECT state FROM aside.events WHERE id = %s AND handler = ''states'') = ''retrying''', :theirs));
SET ROLE regress_state_emitter;
SELECT handler, state, attempts, sqlstate, message IS NULL AS silent FROM async_event_state(:theirs);
SELECT count(*) FROM async_event_state(:fail);
SELECT count(*) FROM aside.event_stats WHERE channel = 'states';
SET ROLE regress_state_other;
SELECT count(*) FROM async_event_state(:theirs);
RESET ROLE;
GRANT pg_read_all_stats TO regress_state_other;
SET ROLE regress_state_other;
SELECT count(*) FROM aside.event_stats WHERE channel = 'states';
RESET ROLE;

-- dead
SELECT async_event_on('deadly', command => 'SELECT 1 / 0', name => 'deadly', max_attempts => 1);
SELECT async_event_emit('deadly') AS dead \gset
CALL until('(SELECT count(*) FROM aside.dead_events WHERE handler = ''deadly'') = 1');
SELECT s.handler, s.state, s.attempts, s.sqlstate FROM async_event_state(:dead) s;
SELECT attempts, sqlstate, jsonb_array_length(errors) AS errors FROM aside.dead_events WHERE id = :dead;

-- how
SELECT pg_advisory_unlock(8807);
CALL until(format('(SELECT state FROM async_event_state(%s) WHERE handler = ''states'') = ''done''', :run));
SET enable_seqscan = off;
SELECT count(*) AS by_index FROM plan_of('SELECT FROM aside.event_rows WHERE id = 1') p WHERE p ~ ' Index Cond: \(id = 1\)';
RESET enable_seqscan;
SELECT name, (SELECT count(*) FROM plan_of('SELECT * FROM aside.' || name) p WHERE p ~ '->.* Scan (using \S+ )?on event_log_0') AS reads_the_log,
    (SELECT count(*) FROM plan_of('SELECT * FROM aside.' || name) p WHERE p LIKE '%SubPlan%') AS for_each_row
FROM (VALUES ('dead_events'), ('event_tallies'), ('events'), ('event_runs')) v (name);
-- a full join is never a loop
SELECT name, EXISTS (SELECT FROM plan_of('SELECT * FROM aside.' || name) p WHERE p ~ '(Hash|Merge) Full Join') AS full_join
FROM (VALUES ('dead_events'), ('event_tallies'), ('events')) v (name);

SELECT async_event_off('states'), async_event_off('states too'), async_event_off('deadly');
DROP FUNCTION state_handler, plan_of;
DROP ROLE regress_state_emitter, regress_state_other;
-- A plan that is to avoid a kind of scan seems dear, and is not worth being compiled: where that is for the planner to say, so is this.
SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'aside'::regnamespace AND p.proconfig::text ~ 'enable_\w+=off' AND NOT 'jit=off' = ANY (p.proconfig);
