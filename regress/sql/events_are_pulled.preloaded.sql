-- Claim: consumers pull the events of a handler that has no worker, under a lease, by due time and priority, and of an ordered handler
-- one of a key at a time. What a consumer says of an event is part of its transaction. A lease that runs out is a failed attempt, and
-- so is an event that is given back; whoever's lease ran out cannot acknowledge. Retries, dead events, pauses, keys, cancels and views
-- are as for any handler. Only the owner's role pulls.
\set VERBOSITY default
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_pull_a, regress_pull_b, regress_pull_team;
RESET client_min_messages;
CREATE ROLE regress_pull_team IN ROLE aside_user;
CREATE ROLE regress_pull_a LOGIN IN ROLE regress_pull_team;
CREATE ROLE regress_pull_b LOGIN IN ROLE aside_user;
CREATE VIEW regress_pulled AS SELECT payload, state, attempts, sqlstate, message FROM aside.events WHERE handler ~ '^regress_p';
-- Errors name ids.
CREATE FUNCTION regress_try(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE said text; shown text;
BEGIN
    EXECUTE command INTO said;
    RETURN said;
EXCEPTION WHEN others THEN
    GET STACKED DIAGNOSTICS said = RETURNED_SQLSTATE, shown = MESSAGE_TEXT;
    RETURN said || ': ' || regexp_replace(shown, '\d+', 'N');
END $$;
CREATE FUNCTION regress_ids(VARIADIC payloads int[]) RETURNS bigint[] LANGUAGE sql AS $$
    SELECT array_agg(id ORDER BY id) FROM aside.events WHERE handler ~ '^regress_p' AND payload = ANY (SELECT to_jsonb(p) FROM unnest(payloads) p) $$;
GRANT SELECT ON regress_pulled TO aside_user;

-- a role that cannot log in may own such a handler, for nothing runs as it; its members pull
SET ROLE regress_pull_team;
SELECT async_event_on('regress_p', pull => true, max_attempts => 3, backoff => '1 ms', backoff_cap => '1 ms');
RESET ROLE;
SELECT name, owner, handler, command, pull, exists, reason FROM aside.handlers WHERE name = 'regress_p';
SET ROLE regress_pull_a;
SELECT count(*) FROM async_event_pull('regress_p');
-- by priority, with all that a handler gets
SELECT count(async_event_emit('regress_p', to_jsonb(i), priority => i % 3, key => 'k' || i, headers => '{"h": 1}')) FROM generate_series(1, 6) i;
SELECT channel, payload, key, headers, attempt, emitted_by, priority, emitted <= now() AS emitted FROM async_event_pull('regress_p', 3, wait => '20 s');
SELECT payload, state, attempts FROM regress_pulled ORDER BY payload;
-- acknowledged, or given back, when the transaction commits
BEGIN;
SELECT async_event_ack('regress_p', regress_ids(2, 5, 5));
SELECT regress_try('SELECT async_event_ack(''regress_p'', regress_ids(2))');
ROLLBACK;
SELECT DISTINCT state FROM regress_pulled WHERE payload IN ('2', '5');
BEGIN;
SELECT async_event_ack('regress_p', regress_ids(2));
SAVEPOINT s;
SELECT async_event_ack('regress_p', regress_ids(5));
ROLLBACK TO s;
SELECT async_event_nack('regress_p', regress_ids(5), 'not me', '1 hour');
COMMIT;
CALL until($$(SELECT count(*) = 1 FROM regress_pulled WHERE state = 'retrying')$$);
SELECT * FROM regress_pulled WHERE payload IN ('2', '5') ORDER BY payload;
SELECT payload, next_at > now() + interval '50 min' AS later FROM aside.events WHERE handler = 'regress_p' AND state = 'retrying';
-- twice, what was never pulled, what does not exist
SELECT regress_try('SELECT async_event_ack(''regress_p'', regress_ids(2))');
SELECT regress_try('SELECT async_event_nack(''regress_p'', regress_ids(2))');
SELECT regress_try('SELECT async_event_ack(''regress_p'', regress_ids(6))');
SELECT regress_try('SELECT async_event_extend(''regress_p'', regress_ids(6))');
SELECT regress_try('SELECT async_event_ack(''regress_p'', ''{-1}'')');
-- one of several: none of them
SELECT regress_try('SELECT async_event_ack(''regress_p'', regress_ids(2, 1))');
SELECT async_event_ack('regress_p', '{}');

-- a lease that runs out is a failed attempt; the event is given to the next, and the first one cannot acknowledge it
SELECT count(*) FROM async_event_pull('regress_p', 10, '10 s');
SELECT regress_ids(1, 3, 4, 6) AS held \gset
SELECT async_event_ack('regress_p', (:'held'::bigint[])[1:3]);
SELECT async_event_extend('regress_p', (:'held'::bigint[])[4:4], '1 ms');
CALL until($$(SELECT count(*) = 1 FROM regress_pulled WHERE sqlstate = '57014')$$);
SELECT regress_try(format('SELECT async_event_ack(''regress_p'', %L)', (:'held'::bigint[])[4:4]));
RESET ROLE;
\c -
SET ROLE regress_pull_a;
SELECT payload, attempt FROM async_event_pull('regress_p', wait => '20 s');
\c -
SET ROLE regress_pull_a;
-- another session of the same role may say something of it
SELECT async_event_extend('regress_p', regress_ids(6), '1 hour');
SELECT async_event_nack('regress_p', regress_ids(6), 'third');
CALL until($$(SELECT count(*) = 1 FROM regress_pulled WHERE message = 'third')$$);
SELECT * FROM regress_pulled WHERE message = 'third';
-- the last attempt: dead, and redriven
SELECT payload, attempt FROM async_event_pull('regress_p', wait => '20 s');
SELECT async_event_nack('regress_p', regress_ids(6), 'the last');
CALL until('(SELECT count(*) = 1 FROM aside.dead_events WHERE handler = ''regress_p'')');
SELECT payload, attempts, sqlstate, message FROM aside.dead_events WHERE handler = 'regress_p';
SELECT r.attempt, r.state, r.sqlstate, r.message FROM aside.event_runs r JOIN aside.dead_events d ON d.id = r.event ORDER BY attempt;
SELECT async_event_redrive('regress_p');
SELECT payload, attempt, headers ? 'redriven' AS redriven FROM async_event_pull('regress_p', wait => '20 s');
SELECT async_event_ack('regress_p', (SELECT array_agg(id) FROM aside.events WHERE handler = 'regress_p' AND state = 'running'));

-- a rollback of who pulls loses nothing, and gives nothing back before the lease runs out
BEGIN;
SELECT count(async_event_emit('regress_p', '10')) AS emitted;
SELECT count(*) AS seen_before_commit FROM async_event_pull('regress_p');
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT payload, attempt FROM async_event_pull('regress_p', wait => '20 s');
ROLLBACK;
SELECT state, attempts FROM regress_pulled WHERE payload = '10';
SELECT async_event_extend('regress_p', regress_ids(10), '1 ms');
-- exactly once, in one statement, also in a transaction that sees only what was there before
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM aside.events WHERE false;
CREATE TEMP TABLE regress_got AS SELECT * FROM async_event_pull('regress_p', wait => '20 s');
SELECT payload, attempt FROM regress_got;
SELECT async_event_ack('regress_p', (SELECT array_agg(id) FROM regress_got));
COMMIT;
SELECT state, attempts FROM regress_pulled WHERE payload = '10';

-- unique keys, delays, expiry, cancel, wait
SELECT count(async_event_emit('regress_p', '20', unique_key => 'u')) AS emitted;
SELECT regress_try('SELECT async_event_emit(''regress_p'', ''21'', unique_key => ''u'')') ~ '^23505' AS taken;
SELECT payload FROM async_event_pull('regress_p', wait => '20 s');
SELECT async_event_ack('regress_p', regress_ids(20));
SELECT count(async_event_emit('regress_p', '21', unique_key => 'u', expires => '50 ms')) AS emitted;
CALL until($$(SELECT state = 'expired' FROM regress_pulled WHERE payload = '21')$$);
SELECT count(async_event_emit('regress_p', '22', delay => '1 hour')), count(async_event_emit('regress_p', '23')) FROM generate_series(1, 1);
SELECT payload FROM async_event_pull('regress_p', 10, wait => '20 s');
SELECT async_event_update((regress_ids(22))[1], run_at => now() + interval '50 ms');
SELECT payload FROM async_event_pull('regress_p', 10, wait => '20 s');
-- what is cancelled while it is leased may be acknowledged all the same; given back, it ends
SELECT async_event_cancel(e) FROM unnest(regress_ids(22, 23)) e;
SELECT async_event_ack('regress_p', regress_ids(22)), async_event_nack('regress_p', regress_ids(23));
SELECT async_event_wait(e, '20 s') FROM unnest(regress_ids(22, 23)) e;
SELECT payload, state FROM regress_pulled WHERE payload IN ('22', '23') ORDER BY payload;

-- paused: nothing is given; what is leased may be acknowledged
SELECT count(async_event_emit('regress_p', to_jsonb(i))) FROM generate_series(30, 31) i;
SELECT payload FROM async_event_pull('regress_p', wait => '20 s');
SELECT async_event_pause('regress_p');
SELECT count(*) FROM async_event_pull('regress_p', wait => '100 ms');
SELECT async_event_ack('regress_p', (SELECT array_agg(id) FROM aside.events WHERE handler = 'regress_p' AND state = 'running'));
SELECT async_event_resume('regress_p');
SELECT payload FROM async_event_pull('regress_p', wait => '20 s');
SELECT async_event_ack('regress_p', regress_ids(31));

-- ordered: one of a key at a time, in order
SELECT async_event_on('regress_po', pull => true, ordered => true, history => '1 hour', max_attempts => 9);
SELECT count(async_event_emit('regress_po', to_jsonb(i), key => CASE WHEN i < 43 THEN 'a' ELSE 'b' END)) FROM generate_series(40, 44) i;
SELECT payload FROM async_event_pull('regress_po', 10, wait => '20 s') ORDER BY 1;
SELECT count(*) FROM async_event_pull('regress_po', 10);
SELECT async_event_ack('regress_po', (regress_ids(40))[1:1]);
SELECT payload FROM async_event_pull('regress_po', 10, wait => '20 s');
SELECT async_event_nack('regress_po', (regress_ids(41))[1:1], delay => '0');
SELECT payload, attempt FROM async_event_pull('regress_po', 10, wait => '20 s');
SELECT async_event_ack('regress_po', ARRAY[(regress_ids(41))[1], (regress_ids(43))[1]]);
CREATE TEMP TABLE regress_order (n serial, payload jsonb);
DO $$
DECLARE one aside.event;
BEGIN
    FOR i IN 1 .. 2 LOOP
        SELECT * INTO one FROM async_event_pull('regress_po', 1, wait => '20 s');
        INSERT INTO regress_order (payload) VALUES (one.payload);
        PERFORM async_event_ack('regress_po', ARRAY[one.id]);
    END LOOP;
END $$;
SELECT count(*) FROM regress_order;
CALL until($$(SELECT count(*) = 5 FROM aside.event_history WHERE handler = 'regress_po')$$);
SELECT payload, state, attempts FROM aside.event_history WHERE handler = 'regress_po' ORDER BY 1;
-- a notification is recorded for who pulls
NOTIFY regress_po, 'hello';
SELECT payload, emitted_by, headers ? 'pid' AS pid FROM async_event_pull('regress_po', wait => '20 s');
SELECT async_event_ack('regress_po', (SELECT array_agg(id) FROM aside.events WHERE handler = 'regress_po' AND state = 'running'));
-- a handler that ends takes its leases along
SELECT count(async_event_emit('regress_po', '50')) AS emitted;
SELECT payload FROM async_event_pull('regress_po', wait => '20 s');
SELECT (SELECT array_agg(id) FROM aside.events WHERE handler = 'regress_po' AND state = 'running') AS held \gset
SELECT async_event_off('regress_po');
SELECT regress_try(format('SELECT async_event_ack(''regress_po'', %L)', :'held'));
CALL until($$(SELECT count(*) = 0 FROM aside.events WHERE handler = 'regress_po')$$);

-- what cannot be
RESET ROLE;
SET ROLE regress_pull_b;
SELECT regress_try('SELECT count(*) FROM async_event_pull(''regress_p'')');
SELECT regress_try('SELECT async_event_ack(''regress_p'', ''{1}'')');
SELECT regress_try('SELECT async_event_nack(''regress_p'', ''{1}'')');
SELECT regress_try('SELECT async_event_extend(''regress_p'', ''{1}'')');
RESET ROLE;
SELECT regress_try(format('SELECT count(*) FROM async_event_pull(%s)', a)) FROM (VALUES ('NULL'), ('''regress_none'''), ('''regress_p'', NULL'), ('''regress_p'', 0'),
    ('''regress_p'', 10001'), ('''regress_p'', 1, NULL'), ('''regress_p'', 1, ''0'''), ('''regress_p'', 1, ''-1 s'''), ('''regress_p'', 1, ''2 years'''), ('''regress_p'', 1, ''1 s'', ''-1 s''')) v (a);
SELECT regress_try(format('SELECT async_event_%s', a)) FROM (VALUES ('ack(NULL, ''{1}'')'), ('ack(''regress_p'', NULL)'), ('ack(''regress_p'', ''{NULL}'')'),
    ('ack(''regress_p'', array_fill(1::bigint, ARRAY[65536]))'), ('nack(''regress_p'', ''{1}'', delay => ''-1 s'')'), ('nack(''regress_p'', NULL)'),
    ('extend(''regress_p'', ''{1}'', ''0'')'), ('extend(''regress_p'', ''{1}'', NULL)')) v (a);
SELECT regress_try(format('SELECT async_event_on(%s)', a)) FROM (VALUES ('''regress_q'', command => ''SELECT 1'', pull => true'),
    ('''regress_p'', command => ''SELECT 1'', replace => true'), ('''regress_q'''), ('''regress_p'', pull => true')) v (a);
SELECT regress_try('SELECT async_event_alter(''regress_p'', command => ''SELECT 1'')');
SELECT async_event_on('regress_w', command => 'SELECT 1');
SELECT regress_try('SELECT count(*) FROM async_event_pull(''regress_w'')');
SELECT regress_try('SELECT async_event_on(''regress_w'', pull => true, replace => true)');
SELECT async_event_off('regress_w');
BEGIN READ ONLY;
SELECT regress_try('SELECT count(*) FROM async_event_pull(''regress_p'')');
ROLLBACK;
-- its options change as those of any handler
SELECT async_event_alter('regress_p', max_attempts => 1, new_name => 'regress_p2');
SELECT async_event_on('regress_p', pull => true, name => 'regress_p2', max_attempts => 2, replace => true);
SELECT count(async_event_emit('regress_p', '60')) AS emitted;
SELECT payload FROM async_event_pull('regress_p2', wait => '20 s');
SELECT async_event_nack('regress_p2', regress_ids(60), delay => '0');
SELECT payload, attempt FROM async_event_pull('regress_p2', wait => '20 s');
SELECT async_event_ack('regress_p2', regress_ids(60));
-- a lease outlives the coordinator
SELECT count(async_event_emit('regress_p', '70')) AS emitted;
SELECT payload FROM async_event_pull('regress_p2', lease => '1 hour', wait => '20 s');
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'pg_aside coordinator' AND datname = current_database();
CALL events_pass();
SELECT count(*) FROM async_event_pull('regress_p2');
SELECT state, attempts FROM regress_pulled WHERE payload = '70';
SELECT async_event_nack('regress_p2', regress_ids(70), delay => '0');
SELECT payload, attempt FROM async_event_pull('regress_p2', lease => '1 s', wait => '20 s');
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'pg_aside coordinator' AND datname = current_database();
CALL until($$(SELECT state = 'dead' FROM regress_pulled WHERE payload = '70')$$);
SELECT attempts, sqlstate, message FROM aside.dead_events WHERE handler = 'regress_p2';
SELECT async_event_off('regress_p2');
DROP FUNCTION regress_try, regress_ids;
DROP VIEW regress_pulled;
DROP TABLE regress_got, regress_order;
DROP ROLE regress_pull_a, regress_pull_b, regress_pull_team;
