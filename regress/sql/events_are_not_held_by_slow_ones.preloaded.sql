-- Claim: an event waits for the one that runs, and for no other that a worker
-- was given with it: not where there is another worker, not if it is urgent,
-- and what was not begun can be paused, cancelled and ended.
\set SHOW_CONTEXT never
CREATE TABLE told (n serial, what int, at timestamptz DEFAULT clock_timestamp());
CREATE FUNCTION tells(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF e.payload -> 's' < '0' THEN PERFORM pg_advisory_xact_lock(4741); ELSE PERFORM pg_sleep((e.payload ->> 's')::float8); END IF;
    INSERT INTO told (what) VALUES ((e.payload ->> 'n')::int);
END $$;
CREATE FUNCTION emit(n int, s float8, priority int DEFAULT 0) RETURNS bigint LANGUAGE sql AS $$
    SELECT async_event_emit('slow', jsonb_build_object('n', n, 's', s), priority => priority) $$;
SELECT async_event_on('slow', 'tells(aside.event)');
-- when an event of it has been handled, there is a worker
SELECT emit(0, 0) > 0;
CALL until('(SELECT count(*) FROM told) = 1');
TRUNCATE told;

-- twenty at once: few are said to run, and the others not to have been tried
SELECT max(emit(i, 0.1)) AS last FROM generate_series(1, 20) i \gset
CALL until('(SELECT count(*) FROM aside.events WHERE channel = ''slow'' AND state = ''running'') BETWEEN 1 AND 3');
SELECT count(*) < 10 AS soon FROM told;
SELECT DISTINCT attempts, sqlstate FROM aside.events WHERE channel = 'slow' AND state = 'waiting';
SELECT count(*) FROM aside.event_runs WHERE event = :last;
-- an urgent one is next
SELECT count(*) AS before, emit(100, 0, 1000) > 0 AS emitted FROM told \gset
CALL until('EXISTS (SELECT FROM told WHERE what = 100)');
SELECT count(*) - :before < 5 AS soon FROM told WHERE n < (SELECT n FROM told WHERE what = 100);
-- one that is cancelled never runs
SELECT async_event_cancel(:last);
CALL until(format('(SELECT state = ''cancelled'' FROM aside.events WHERE id = %s)', :last));
SELECT (SELECT count(*) FROM told) < 20 AS not_yet_its_turn;
-- paused: what runs is the last
SELECT async_event_pause('slow');
CALL until('NOT EXISTS (SELECT FROM aside.events WHERE channel = ''slow'' AND state = ''running'')');
SELECT count(*) AS told FROM told \gset
CALL events_pass();
SELECT :told < 20 AS some_wait, count(*) - :told AS more FROM told;
SELECT DISTINCT state FROM aside.events WHERE channel = 'slow' AND state NOT IN ('done', 'cancelled');
-- and later the others, in their order
SELECT async_event_resume('slow');
CALL until('(SELECT count(*) FROM told) = 20');
SELECT array_agg(what ORDER BY n) FROM told WHERE what <> 100;
SELECT DISTINCT attempt, state FROM aside.event_runs WHERE handler = 'slow' AND state <> 'cancelled';

-- the same of a handler that is new: a worker is given all, and what is cancelled was no attempt
SELECT async_event_off('slow');
SELECT async_event_on('slow', 'tells(aside.event)');
TRUNCATE told;
SELECT pg_advisory_lock(4741);
SELECT array_agg(emit(i, CASE WHEN i = 1 THEN -1 ELSE 0 END)) AS ids FROM generate_series(1, 20) i \gset
CALL until(format('(SELECT state = ''running'' FROM aside.events WHERE id = (%L::bigint[])[1])', :'ids'));
SELECT DISTINCT async_event_cancel(id) FROM unnest((:'ids'::bigint[])[2:19]) id;
CALL until(format('(SELECT count(*) = 18 FROM aside.events WHERE state = ''cancelled'' AND id = ANY (%L::bigint[]))', :'ids'));
SELECT pg_advisory_unlock(4741);
CALL until('NOT EXISTS (SELECT FROM aside.events WHERE channel = ''slow'' AND state IN (''waiting'', ''running''))');
SELECT array_agg(what ORDER BY n) FROM told;
SELECT state, count(*) FROM aside.event_runs WHERE handler = 'slow' GROUP BY state ORDER BY state;
-- ended: what was not begun is dropped
TRUNCATE told;
SELECT count(emit(i, 0.1)) FROM generate_series(1, 20) i;
CALL until('EXISTS (SELECT FROM told)');
SELECT async_event_off('slow');
CALL until('NOT EXISTS (SELECT FROM pg_stat_activity WHERE query = ''event handler slow'' AND xact_start IS NOT NULL)');
SELECT count(*) AS told FROM told \gset
CALL events_pass();
SELECT :told < 5 AS few, count(*) - :told AS more FROM told;

-- behind a slow one, where there is another worker
SELECT async_event_on('slow', 'tells(aside.event)', concurrency => 2);
SELECT emit(0, 0) > 0;
CALL until('EXISTS (SELECT FROM told WHERE what = 0)');
TRUNCATE told;
SELECT count(emit(i, CASE WHEN i = 1 THEN 60 ELSE 0 END)) = 11 AS emitted FROM generate_series(1, 11) i \gset
CALL until('(SELECT count(*) FROM told) = 10');
SELECT bool_and(what > 1) AS others FROM told;
SELECT async_event_off('slow');
SELECT bool_and(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE query = 'event handler slow' AND wait_event = 'PgSleep';
CALL until('NOT EXISTS (SELECT FROM pg_stat_activity WHERE query = ''event handler slow'' AND wait_event = ''PgSleep'')');
DROP TABLE told;
DROP FUNCTION tells, emit;
