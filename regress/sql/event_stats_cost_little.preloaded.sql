-- Claim: however many events wait, event_stats counts all of them and reads few pages: the coordinator has counted those that it has
-- seen, and an index finds the others. What it has counted is what the tables say.
\set VERBOSITY terse
-- pages that a query reads
CREATE FUNCTION pages(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ' || query INTO plan;
    RETURN (plan -> 0 -> 'Plan' ->> 'Shared Hit Blocks')::bigint + (plan -> 0 -> 'Plan' ->> 'Shared Read Blocks')::bigint;
END $$;
CREATE FUNCTION many_handler(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF e.payload = '"fail"' THEN RAISE EXCEPTION 'it fails' USING ERRCODE = 'AB003'; END IF;
    IF e.payload = '"die"' THEN PERFORM async_event_discard('it dies'); END IF;
    IF e.payload = '"run"' THEN PERFORM pg_advisory_xact_lock(8811); END IF;
END $$;
SELECT async_event_on('many', 'many_handler(aside.event)', name => 'many', concurrency => 3, backoff => '1000 hours', backoff_cap => '1000 hours');
SELECT async_event_on('many', command => 'SELECT 1', name => 'many too');
SELECT async_event_pause('many too');
BEGIN;
SELECT pg_advisory_lock(8811);
SELECT count(async_event_emit('many', p)) FROM unnest('{"\"well\"", "\"fail\"", "\"fail\"", "\"die\"", "\"run\""}'::jsonb[]) p;
SELECT count(async_event_emit('many', '"later"', delay => '1 day')) FROM generate_series(1, 2);
COMMIT;
CALL until($$(SELECT (done, retrying, dead, running, delayed) = (1, 2, 1, 1, 2) FROM aside.event_stats WHERE handler = 'many')$$);
SELECT async_event_pause('many');
SELECT count(async_event_emit('many', to_jsonb(g))) FROM generate_series(1, 30000) g;
-- at once, and whoever has counted
SELECT handler, waiting, delayed, retrying, running, dead, lag < '1 hour' AS lag FROM aside.event_stats WHERE channel = 'many' ORDER BY handler;
CALL until($$(SELECT min(waiting) = 30000 AND NOT bool_or(partial) FROM aside.handler_counts() c JOIN aside.event_handler h ON h.id = c.handler WHERE h.channel = 'many')$$);
SELECT handler, waiting, delayed, retrying, running, dead, failures -> 'AB003' AS failed, emitted_per_second > 0 AS emitted
FROM aside.event_stats WHERE channel = 'many' ORDER BY handler;
SELECT count(*) AS handlers, bool_and((s.waiting, s.delayed, s.retrying, s.running, s.dead) = (t.waiting, t.delayed, t.retrying, t.running, t.dead)) AS as_in_the_tables
FROM aside.event_stats s JOIN aside.event_handler h ON h.name = s.handler JOIN aside.event_tallies t ON t.handler = h.id WHERE s.channel = 'many';
SELECT pages('SELECT * FROM aside.event_stats') < 300 AS few, (SELECT sum(pg_relation_size(format('aside.event_%s', n))) / 8192 > 300 FROM generate_series(0, 2) n) AS many;
-- what this transaction emits, and what it takes back
BEGIN;
SELECT count(async_event_emit('many', delay => d)) FROM unnest('{0, 1 day}'::interval[]) d;
SELECT handler, waiting, delayed FROM aside.event_stats WHERE channel = 'many' ORDER BY handler;
ROLLBACK;
SELECT handler, waiting, delayed FROM aside.event_stats WHERE channel = 'many' ORDER BY handler;
-- the dead go, and so do those that run
SELECT async_event_purge('many');
SELECT pg_advisory_unlock(8811);
CALL until($$(SELECT (running, dead) = (0, 0) FROM aside.event_stats WHERE handler = 'many')$$);
SELECT async_event_off('many'), async_event_off('many too');
DROP FUNCTION pages, many_handler;
