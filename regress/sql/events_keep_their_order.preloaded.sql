-- Claim: ordered handlers keep the order of each key, others go side by side;
-- in a batch, one that fails takes nobody with it.
\set SHOW_CONTEXT never
CREATE TABLE told (n serial, what text, key text, attempt int, began timestamptz DEFAULT clock_timestamp(), ended timestamptz, txid xid8 DEFAULT pg_current_xact_id(), pid int DEFAULT pg_backend_pid());
CREATE VIEW todo AS SELECT FROM aside.events WHERE channel ~ '^order' AND state IN ('waiting', 'running', 'retrying', 'delayed');

-- order of each key, with several workers
CREATE FUNCTION orderly(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF e.payload = '4' AND e.attempt < 3 THEN RAISE EXCEPTION 'not yet'; END IF;
    INSERT INTO told (what, key, attempt) VALUES (e.payload #>> '{}', e.key, e.attempt);
    PERFORM pg_sleep(0.001);
    UPDATE told SET ended = clock_timestamp() WHERE what = e.payload #>> '{}';
END $$;
SELECT async_event_on('order', 'orderly(aside.event)', ordered => true, concurrency => 4, backoff => '50 ms');
SELECT count(async_event_emit('order', to_jsonb(g), 'k' || g % 4, priority => (random() * 10)::int)) FROM generate_series(1, 200) g;
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT key, count(*), bool_and(n > before OR before IS NULL) AS in_order, bool_and(began >= last OR last IS NULL) AS one_at_a_time, max(attempt) AS attempts
FROM (SELECT *, lag(n) OVER w AS before, lag(ended) OVER w AS last FROM told WINDOW w AS (PARTITION BY key ORDER BY what::int)) x GROUP BY key ORDER BY key;
-- a key waits for its first event, and the others do not wait for the key
SELECT async_event_off('order');
TRUNCATE told;
CREATE FUNCTION stubborn(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF e.payload = '"a1"' THEN RAISE EXCEPTION 'no'; END IF;
    INSERT INTO told (what, key) VALUES (e.payload #>> '{}', e.key);
END $$;
SELECT async_event_on('order', 'stubborn(aside.event)', ordered => true, backoff => '1 hour', max_attempts => 2);
SELECT async_event_emit('order', '"a1"', 'a') AS a1 \gset
SELECT async_event_emit('order', '"a2"', 'a') > 0, async_event_emit('order', '"b1"', 'b') > 0, async_event_emit('order', '"b2"', 'b') > 0, async_event_emit('order', '"a3"', 'a') > 0,
    async_event_emit('order', '"no key"') > 0, async_event_emit('order', '"empty key"', '') > 0;
CALL until('(SELECT count(*) FROM told) = 4');
SELECT what FROM told ORDER BY n;
SELECT payload FROM aside.events WHERE handler = 'order' AND state <> 'done' ORDER BY id;
-- until it is cancelled
SELECT async_event_cancel(:a1);
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT what FROM told WHERE key = 'a' ORDER BY n;
SELECT async_event_off('order');
-- or dead
TRUNCATE told;
SELECT async_event_on('order', 'stubborn(aside.event)', ordered => true, backoff => '10 ms', max_attempts => 2);
SELECT async_event_emit('order', '"a1"', 'a') > 0, async_event_emit('order', '"a2"', 'a') > 0;
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT what FROM told ORDER BY n;
SELECT payload FROM aside.dead_events WHERE handler = 'order';
SELECT async_event_off('order');
-- one that is due later lets no one pass
TRUNCATE told;
SELECT async_event_on('order', 'stubborn(aside.event)', ordered => true);
SELECT async_event_emit('order', '"later"', 'a', delay => '200 ms') > 0, async_event_emit('order', '"now"', 'a') > 0, async_event_emit('order', '"another"', 'b') > 0;
CALL until('(SELECT count(*) FROM told) = 3');
SELECT what FROM told ORDER BY n;
SELECT async_event_off('order');

-- side by side: four wait for each other
TRUNCATE told;
CREATE FUNCTION holders(n int) RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = n $$;
CREATE FUNCTION meet(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_lock_shared(4711);
    FOR i IN 1..1000 LOOP
        EXIT WHEN holders(4711) = 4;
        PERFORM pg_sleep(0.005);
    END LOOP;
    INSERT INTO told (what) SELECT holders(4711);
    -- nobody leaves before all have met
    PERFORM pg_advisory_lock_shared(4712);
    FOR i IN 1..1000 LOOP
        EXIT WHEN holders(4712) = 4 OR holders(4711) < 4;
        PERFORM pg_sleep(0.005);
    END LOOP;
END $$;
SELECT async_event_on('order', 'meet(aside.event)', concurrency => 4);
SELECT count(async_event_emit('order')) FROM generate_series(1, 4);
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT what, count(*), count(DISTINCT pid) FROM told GROUP BY what;
SELECT async_event_off('order');
-- one after the other
TRUNCATE told;
CREATE FUNCTION alone(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
DECLARE i int;
BEGIN
    INSERT INTO told (what) VALUES (pg_try_advisory_xact_lock(4712)) RETURNING n INTO i;
    PERFORM pg_sleep(0.005);
    UPDATE told SET ended = clock_timestamp() WHERE n = i;
END $$;
SELECT async_event_on('order', 'alone(aside.event)');
SELECT count(async_event_emit('order')) FROM generate_series(1, 20);
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT what, count(*) FROM told GROUP BY what;
SELECT count(*) AS overlap FROM told a JOIN told b ON a.n < b.n AND b.began < a.ended;
SELECT async_event_off('order');

-- batches
TRUNCATE told;
CREATE FUNCTION many(e aside.event[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO told (what, attempt, key) SELECT x.payload #>> '{}', x.attempt, array_length(e, 1) FROM unnest(e) x;
    IF EXISTS (SELECT FROM unnest(e) x WHERE x.payload = '7') THEN RAISE EXCEPTION 'it is the seventh'; END IF;
END $$;
SELECT async_event_on('order', 'many(aside.event[])', batch_size => 10, max_attempts => 2, backoff => '0');
SELECT async_event_pause('order');
SELECT count(async_event_emit('order', to_jsonb(g))) FROM generate_series(1, 25) g;
SELECT async_event_resume('order');
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT key AS batch, count(*), count(DISTINCT txid) AS transactions, string_agg(what, ' ' ORDER BY what::int) FROM told GROUP BY key ORDER BY key::int;
SELECT payload, attempts, sqlstate, message FROM aside.dead_events WHERE handler = 'order';
SELECT state, count(*), max(attempts) FROM aside.events WHERE handler = 'order' GROUP BY state ORDER BY state;
SELECT async_event_off('order');
-- of handlers that take one event
TRUNCATE told;
CREATE FUNCTION each(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO told (what, attempt) VALUES (e.payload #>> '{}', e.attempt);
    IF e.payload = '7' THEN RAISE EXCEPTION 'it is the seventh'; END IF;
END $$;
SELECT async_event_on('order', 'each(aside.event)', batch_size => 10, max_attempts => 1);
SELECT async_event_pause('order');
SELECT count(async_event_emit('order', to_jsonb(g))) FROM generate_series(1, 25) g;
SELECT async_event_resume('order');
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT count(*), count(DISTINCT what), count(DISTINCT txid) AS transactions, max(attempt) FROM told;
SELECT payload, attempts, sqlstate FROM aside.dead_events WHERE handler = 'order';
SELECT async_event_off('order');
-- ordered batches are of one key each, in order
TRUNCATE told;
CREATE FUNCTION keyed(e aside.event[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO told (what, attempt, key) SELECT x.payload #>> '{}', array_length(e, 1), x.key FROM unnest(e) WITH ORDINALITY AS x ORDER BY x.ordinality;
END $$;
SELECT async_event_on('order', 'keyed(aside.event[])', batch_size => 5, ordered => true, concurrency => 2);
SELECT async_event_pause('order');
SELECT count(async_event_emit('order', to_jsonb(g), 'k' || g % 2)) FROM generate_series(1, 24) g;
SELECT async_event_resume('order');
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT count(*) AS mixed FROM (SELECT FROM told GROUP BY txid HAVING count(DISTINCT key) > 1) x;
SELECT key, string_agg(what, ' ' ORDER BY n), max(attempt) <= 5 AS bounded, max(attempt) > 1 AS in_batches FROM told GROUP BY key ORDER BY key;
SELECT async_event_off('order');
-- a batch does not wait to be full
TRUNCATE told;
SELECT async_event_on('order', 'many(aside.event[])', batch_size => 1000000);
SELECT async_event_emit('order', '1') > 0;
CALL until('(SELECT count(*) FROM told) = 1');
SELECT async_event_pause('order');
SELECT count(async_event_emit('order', to_jsonb(g))) FROM generate_series(10, 3009) g;
SELECT async_event_resume('order');
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT count(*), count(DISTINCT what), count(DISTINCT txid) AS transactions FROM told WHERE what <> '1';
SELECT async_event_off('order');
DROP VIEW todo;
DROP TABLE told;
DROP FUNCTION orderly, stubborn, meet, holders, alone, many, each, keyed;
