-- Claim: each example of docs/events.md does what the page says. The blocks are
-- the page's, word for word and in its order (scripts/lint).
\set SHOW_CONTEXT never
-- ids are shown
SELECT setval('aside.event_id', 1000000000);

-- The first event
CREATE TABLE parcel (customer text, attempt int);
CREATE FUNCTION ship(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO parcel VALUES (e.payload ->> 'customer', e.attempt);
END $$;
SELECT async_event_on('order', 'ship(aside.event)', max_attempts => 4, backoff => '100 ms');

BEGIN;
SELECT async_event_emit('order', '{"customer": "alice"}');
COMMIT;

CALL until('EXISTS (SELECT FROM parcel)');
SELECT * FROM parcel;

-- Emit; what is kept is there still
SELECT async_event_pause('order');
SELECT async_event_emit('order', '{"customer": "bob"}', delay => '10 min');           -- or run_at
SELECT async_event_emit('order', '{"customer": "bob"}', priority => 5);
SELECT async_event_emit('order', '{"customer": "bob"}', unique_key => 'bob');
SELECT async_event_emit('order', '{"customer": "bob"}', unique_key => 'bob', on_conflict => 'keep');      -- the id of the first
SELECT id, priority, unique_key, run_at > now() AS later, state FROM aside.events WHERE payload ->> 'customer' = 'bob' ORDER BY id;
SELECT async_event_resume('order');
CALL until('(SELECT count(*) FROM parcel) = 3');
SELECT * FROM parcel ORDER BY customer;

-- Pull
CREATE TABLE shipped (id bigint, customer text);
SELECT async_event_on('pulled', pull => true);
SELECT async_event_emit('pulled', '{"customer": "erin"}');
BEGIN;
CREATE TEMP TABLE got AS SELECT * FROM async_event_pull('pulled', 10, lease => '1 min', wait => '10 s');
INSERT INTO shipped SELECT id, payload ->> 'customer' FROM got;
SELECT async_event_ack('pulled', ARRAY(SELECT id FROM got));
COMMIT;
SELECT customer FROM shipped;
SELECT async_event_wait(id, '20 s') FROM got;
SELECT async_event_off('pulled');
DROP TABLE shipped, got;

-- Retry
CREATE FUNCTION poison(e aside.event) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'never'; END $$;
SELECT async_event_on('poison', 'poison(aside.event)', max_attempts => 2, backoff => '10 ms');
SELECT async_event_emit('poison', '{"n": 1}');
DO $$ BEGIN                                          -- until it is dead, 10 s at most
    FOR i IN 1 .. 1000 LOOP
        EXIT WHEN EXISTS (SELECT FROM aside.dead_events WHERE handler = 'poison');
        PERFORM pg_sleep(0.01);
    END LOOP;
END $$;
SELECT attempt, state, sqlstate, message FROM aside.event_runs WHERE handler = 'poison' ORDER BY attempt;
SELECT payload, attempts, message FROM aside.dead_events WHERE handler = 'poison';
CREATE OR REPLACE FUNCTION poison(e aside.event) RETURNS void LANGUAGE sql AS $$ SELECT $$;
SELECT async_event_redrive('poison');                -- a new event, its headers say "redriven": the old id
CALL until('(SELECT count(*) FROM aside.events WHERE handler = ''poison'' AND state = ''done'') = 1');
SELECT payload, headers, state FROM aside.events WHERE handler = 'poison' ORDER BY id;
SELECT count(*) FROM aside.dead_events WHERE handler = 'poison';

-- What a handler says of an event
CREATE FUNCTION bill(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF e.payload ? 'closed' THEN
        PERFORM async_event_discard('the account is closed');
    ELSIF NOT EXISTS (SELECT FROM parcel WHERE customer = e.payload ->> 'customer') THEN
        PERFORM async_event_snooze('50 ms');                  -- or until => a time
    END IF;
END $$;
SELECT async_event_on('bill', 'bill(aside.event)');
SELECT async_event_emit('bill', '{"customer": "carol"}');
SELECT async_event_emit('bill', '{"customer": "dave", "closed": true}', max_attempts => 20, expires => '1 hour');
CALL until('EXISTS (SELECT FROM aside.dead_events WHERE handler = ''bill'')');
SELECT attempts, sqlstate, message FROM aside.dead_events WHERE handler = 'bill';
INSERT INTO parcel VALUES ('carol', 1);
CALL until('EXISTS (SELECT FROM aside.events WHERE handler = ''bill'' AND state = ''done'')');
SELECT payload, state, attempts FROM aside.events WHERE handler = 'bill' ORDER BY id;
SELECT async_event_off('bill');

-- Groups
CREATE FUNCTION send_report(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO parcel VALUES (format('%s of %s, %s dead', e.payload -> 'done', e.payload -> 'events', e.payload -> 'dead'), e.attempt);
END $$;
SELECT async_event_on('part', 'ship(aside.event)', concurrency => 4);
SELECT async_event_on('report', 'send_report(aside.event)');
DO $$
DECLARE
    g bigint := async_event_group('report', '{"day": "2026-11-27"}');
BEGIN
    PERFORM async_event_emit('part', jsonb_build_object('customer', n), "group" => g) FROM generate_series(1, 10) n;
    PERFORM async_event_group_close(g);
END $$;
CALL until('EXISTS (SELECT FROM parcel WHERE customer ~ ''dead'')');
SELECT * FROM parcel WHERE customer ~ 'dead';
SELECT payload - 'group' FROM aside.events WHERE handler = 'report';
SELECT async_event_off('part'), async_event_off('report');
DROP FUNCTION send_report;

-- What failed for good
CREATE TABLE alarm (what text, message text);
SELECT async_event_on('aside.failed', name => 'alarms',
    command => $$ INSERT INTO alarm VALUES (coalesce($1 ->> 'handler', $1 ->> 'schedule'), $1 ->> 'message') $$);
SELECT async_event_on('alarming', command => 'SELECT 1 / 0', max_attempts => 1);
SELECT count(async_event_emit('alarming'));
CALL until('EXISTS (SELECT FROM alarm)');
SELECT * FROM alarm;
SELECT async_event_off('alarms'), async_event_off('alarming');
DROP TABLE alarm;

-- Limit: so many in a period
SELECT async_event_on('call', 'ship(aside.event)', rate_limit => 2, rate_period => '1 hour');
SELECT count(async_event_emit('call', '{"customer": "erin"}')) FROM generate_series(1, 5);
SELECT async_event_alter('call', rate_limit => 4);            -- 0: no limit any more
CALL until('(SELECT count(*) FROM parcel WHERE customer = ''erin'') = 4');
SELECT state, count(*) FROM aside.events WHERE handler = 'call' GROUP BY state ORDER BY state;
SELECT async_event_off('call');

-- Limit: so many of a key
SELECT async_event_on('mail', 'ship(aside.event)', concurrency => 8, key_concurrency => 2);
SELECT async_event_emit('mail', '{"customer": "frank"}', key => 'frank');
CALL until('EXISTS (SELECT FROM parcel WHERE customer = ''frank'')');
SELECT async_event_off('mail');

-- Limit: unique keys
SELECT async_event_on('refresh', 'ship(aside.event)');
SELECT async_event_emit('refresh', '{"customer": "grace"}', unique_key => 'grace', unique_until => 'start', on_conflict => 'keep');
CALL until('EXISTS (SELECT FROM parcel WHERE customer = ''grace'')');
SELECT async_event_off('refresh');

-- Change
CREATE FUNCTION ship_all(e aside.event[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO parcel SELECT payload ->> 'customer', attempt FROM unnest(e) $$;
SELECT async_event_alter('order', concurrency => 4, timeout => '30 s');
SELECT async_event_alter('order', handler => 'ship_all(aside.event[])', batch_size => 100);
SELECT async_event_on('order', 'ship_all(aside.event[])', batch_size => 50, replace => true);       -- concurrency is 1 again
SELECT handler, concurrency, batch_size, timeout FROM aside.handlers WHERE name = 'order';

-- Channels
SELECT async_channel_create('invoice', emit => '{aside_user}');
SELECT channel, emit, handle FROM aside.channels;
SELECT async_channel_drop('invoice');

SELECT async_event_off('order'), async_event_off('poison');
DROP TABLE parcel;
DROP FUNCTION ship, ship_all, poison, bill;
