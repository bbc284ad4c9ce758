-- Claim: an attempt that fails leaves nothing behind and is made again, later
-- and later, until there were enough of them; then the event is dead, and can
-- be emitted again.
\set SHOW_CONTEXT never
CREATE TABLE told (n serial, what text, attempt int, at timestamptz DEFAULT clock_timestamp());
CREATE TABLE switch (works boolean);
INSERT INTO switch VALUES (false);
CREATE VIEW todo AS SELECT FROM aside.events WHERE channel ~ '^fail' AND state IN ('waiting', 'running', 'retrying', 'delayed');

-- retried until it succeeds; its effects are there once
CREATE FUNCTION third(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO told (what, attempt) VALUES (e.payload #>> '{}', e.attempt);
    IF e.attempt < 3 THEN RAISE EXCEPTION 'attempt %', e.attempt USING ERRCODE = 'AB00' || e.attempt; END IF;
END $$;
SELECT async_event_on('fail', 'third(aside.event)', backoff => '10 ms');
SELECT async_event_emit('fail', '"third time lucky"') AS e \gset
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT what, attempt FROM told;
SELECT state, attempts, sqlstate, message FROM aside.events WHERE id = :e;
SELECT attempt, state, sqlstate, message, started IS NOT NULL AS started, finished >= started AS finished, next_at IS NOT NULL AS next FROM aside.event_runs WHERE event = :e ORDER BY attempt;
SELECT count(*) FROM aside.dead_events WHERE handler = 'fail';
SELECT async_event_off('fail');

-- the wait: random, up to backoff, doubled each time up to the cap
CREATE FUNCTION never(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT works FROM switch) THEN
        INSERT INTO told (what, attempt) VALUES (e.payload #>> '{}', e.attempt);
    ELSE
        RAISE EXCEPTION 'will not do: %', e.payload USING DETAIL = 'a detail', ERRCODE = 'AB999';
    END IF;
END $$;
SELECT async_event_on('fail', 'never(aside.event)', max_attempts => 6, backoff => '20 ms', backoff_cap => '80 ms');
SELECT count(async_event_emit('fail', to_jsonb(g), key => 'k', priority => g, headers => '{"h": "x"}')) FROM generate_series(1, 5) g;
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT r.attempt, count(*), count(r.next_at) AS again, max(r.next_at - r.finished) <= least(interval '20 ms' * 2 ^ (r.attempt - 1), interval '80 ms') AS bounded,
    count(DISTINCT r.next_at - r.finished) > 1 AS differ, r.sqlstate
FROM aside.event_runs r JOIN aside.events e ON e.id = r.event WHERE r.handler = 'fail' AND e.payload IN ('1', '2', '3', '4', '5') GROUP BY r.attempt, r.sqlstate ORDER BY 1;
-- the dead
SELECT handler, channel, payload, key, priority, headers, emitted_by, attempts, sqlstate, message, died >= emitted AS later FROM aside.dead_events WHERE channel = 'fail' ORDER BY id;
SELECT DISTINCT (SELECT string_agg(concat_ws(' ', x ->> 'attempt', x ->> 'sqlstate', x ->> 'message'), ', ' ORDER BY o) FROM jsonb_array_elements(errors) WITH ORDINALITY e (x, o))
FROM aside.dead_events WHERE payload = '2';
SELECT DISTINCT state, attempts FROM aside.events WHERE channel = 'fail' AND handler = 'fail';
SELECT done, dead, retrying, failures FROM aside.event_stats WHERE handler = 'fail';
-- emitted again: those that are named, then all of them
UPDATE switch SET works = true;
TRUNCATE told;
SELECT id AS d2 FROM aside.dead_events WHERE payload = '2' \gset
SELECT id AS d4 FROM aside.dead_events WHERE payload = '4' \gset
BEGIN;
SELECT async_event_redrive('fail');
ROLLBACK;
SELECT async_event_redrive('fail', ARRAY[:d4, :d2, :d2, -1]);
CALL until('(SELECT count(*) FROM told) = 2');
SELECT what, attempt FROM told ORDER BY what;
SELECT async_event_redrive('fail', ARRAY[:d4, :d2]);
SELECT async_event_redrive('fail');
CALL until('(SELECT count(*) FROM told) = 5');
SELECT what, attempt FROM told ORDER BY what;
SELECT count(*) FROM aside.dead_events WHERE handler = 'fail';
SELECT payload, key, priority, headers - 'redriven' AS headers, (headers ->> 'redriven')::bigint < id AS of_another, state FROM aside.events
WHERE channel = 'fail' AND headers ? 'redriven' ORDER BY payload;
-- dead again, and again
UPDATE switch SET works = false;
SELECT async_event_emit('fail', '6') > 0;
CALL until('EXISTS (SELECT FROM aside.dead_events WHERE handler = ''fail'')');
SELECT async_event_redrive('fail');
CALL until('EXISTS (SELECT FROM aside.dead_events WHERE handler = ''fail'')');
SELECT payload, attempts FROM aside.dead_events WHERE handler = 'fail';
-- a handler's dead go with it
SELECT async_event_off('fail');
SELECT count(*) FROM aside.dead_events WHERE channel = 'fail';

-- one handler's failure is nothing to another
SELECT async_event_on('fail', 'never(aside.event)', name => 'fail_a', max_attempts => 2, backoff => '0'),
    async_event_on('fail', command => 'INSERT INTO public.told (what) SELECT ''b '' || ($1 #>> ''{}'')', name => 'fail_b');
TRUNCATE told;
SELECT count(async_event_emit('fail', to_jsonb(g))) FROM generate_series(7, 9) g;
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT what FROM told ORDER BY n;
UPDATE switch SET works = true;
-- redriven for the one only
SELECT async_event_redrive('fail_b'), async_event_redrive('fail_a');
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT what FROM told ORDER BY what;
SELECT async_event_off('fail_a'), async_event_off('fail_b');

-- poison does not stop others
CREATE FUNCTION poison(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO told (what, attempt) VALUES (e.payload #>> '{}', e.attempt);
    IF e.payload = '13' THEN RAISE EXCEPTION 'bad luck'; END IF;
END $$;
SELECT async_event_on('fail', 'poison(aside.event)', max_attempts => 3, backoff => '1 hour');
TRUNCATE told;
SELECT count(async_event_emit('fail', to_jsonb(g))) FROM generate_series(11, 20) g;
CALL until('(SELECT count(*) FROM told) = 9 AND (SELECT state = ''retrying'' FROM aside.events WHERE handler = ''fail'' AND payload = ''13'')');
SELECT string_agg(what, ' ' ORDER BY n) FROM told;
SELECT payload, state FROM aside.events WHERE handler = 'fail' AND state <> 'done';
SELECT async_event_off('fail');

-- it fails at the commit
CREATE TABLE one (n int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED);
INSERT INTO one VALUES (1);
SELECT async_event_on('fail', command => 'INSERT INTO public.one VALUES (($1 #>> ''{}'')::int)', max_attempts => 2, backoff => '0');
SELECT async_event_emit('fail', '1') > 0, async_event_emit('fail', '2') > 0;
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT n FROM one ORDER BY n;
SELECT payload, attempts, sqlstate, message FROM aside.dead_events WHERE channel = 'fail';
SELECT payload, state FROM aside.events WHERE handler = 'fail' ORDER BY id;
SELECT async_event_off('fail');

-- conflicts with others do not count
CREATE SEQUENCE tries;
CREATE FUNCTION conflicts(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('tries') <= 4 THEN RAISE EXCEPTION 'as if' USING ERRCODE = CASE currval('tries') % 2 WHEN 0 THEN '40001' ELSE '40P01' END; END IF;
    INSERT INTO told (what, attempt) VALUES ('after ' || currval('tries') - 1 || ' conflicts', e.attempt);
END $$;
TRUNCATE told;
SELECT async_event_on('fail', 'conflicts(aside.event)', max_attempts => 1, backoff => '1 hour');
SELECT async_event_emit('fail') AS e \gset
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT what, attempt FROM told;
SELECT state, attempts FROM aside.events WHERE id = :e;
SELECT attempt, state, sqlstate, count(*), bool_and(finished IS NOT NULL) AS finished FROM aside.event_runs WHERE event = :e GROUP BY 1, 2, 3 ORDER BY 1, 3;
-- but not for ever
CREATE OR REPLACE FUNCTION conflicts(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN PERFORM nextval('tries'); RAISE EXCEPTION 'as if' USING ERRCODE = '40001'; END $$;
SELECT setval('tries', 1);
SELECT async_event_emit('fail') > 0;
CALL until('EXISTS (SELECT FROM aside.dead_events WHERE channel = ''fail'')');
SELECT attempts, sqlstate, (SELECT last_value - 1 FROM tries) AS tries FROM aside.dead_events WHERE channel = 'fail';
SELECT async_event_off('fail');

-- timeout
CREATE FUNCTION slow(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF e.attempt = 1 THEN PERFORM pg_sleep(60); END IF;
    INSERT INTO told (what, attempt) VALUES ('slow', e.attempt);
END $$;
TRUNCATE told;
SELECT async_event_on('fail', 'slow(aside.event)', timeout => '100 ms', backoff => '0');
SELECT async_event_emit('fail') AS e \gset
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT what, attempt FROM told;
SELECT attempt, state, sqlstate, message FROM aside.event_runs WHERE event = :e ORDER BY attempt;
SELECT async_event_off('fail');

-- the function is dropped, and comes again
CREATE FUNCTION gone(t text) RETURNS void LANGUAGE sql AS $$ INSERT INTO told (what) VALUES (t) $$;
TRUNCATE told;
SELECT async_event_on('fail', 'gone(text)', max_attempts => 1);
SELECT async_event_emit('fail', '"there"') > 0;
CALL until('(SELECT count(*) FROM told) = 1');
DROP FUNCTION gone(text);
SELECT async_event_emit('fail', '"not there"') > 0;
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT sqlstate, message FROM aside.dead_events WHERE channel = 'fail';
SELECT exists FROM aside.handlers WHERE name = 'fail';
CREATE FUNCTION gone(t text) RETURNS void LANGUAGE sql AS $$ INSERT INTO told (what) VALUES ('new: ' || t) $$;
SELECT async_event_redrive('fail');
CALL until('NOT EXISTS (SELECT FROM todo)');
CREATE OR REPLACE FUNCTION gone(t text) RETURNS void LANGUAGE sql AS $$ INSERT INTO told (what) VALUES ('newer: ' || t) $$;
SELECT async_event_emit('fail', '"replaced"') > 0;
CALL until('NOT EXISTS (SELECT FROM todo)');
ALTER FUNCTION gone(text) RENAME TO went;
SELECT async_event_emit('fail', '"renamed"') > 0;
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT what FROM told ORDER BY n;
SELECT payload, sqlstate FROM aside.dead_events WHERE channel = 'fail';
SELECT async_event_off('fail');
CALL until('(SELECT state = ''idle'' FROM aside.coordinators WHERE database = current_database())');
SELECT state FROM aside.coordinators WHERE database = current_database();
DROP VIEW todo;
DROP TABLE told, switch, one;
DROP SEQUENCE tries;
DROP FUNCTION third, never, poison, conflicts, slow, went;
