-- Claim: when a closed group's events have all ended, for each of their handlers and however, one event with the counts is emitted,
-- once. A group is its transaction's, and of whoever made it; nothing comes into a closed one.
\set SHOW_CONTEXT never
-- ids are not told
\set VERBOSITY sqlstate
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_group_a, regress_group_b;
RESET client_min_messages;
CREATE ROLE regress_group_a LOGIN IN ROLE aside_user;
CREATE ROLE regress_group_b LOGIN IN ROLE aside_user;
CREATE TABLE regress_ended (n serial, payload jsonb, by name);
CREATE FUNCTION regress_part(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF e.payload ? 'discard' THEN PERFORM async_event_discard('no'); END IF;
    IF e.payload ? 'fail' THEN RAISE 'no'; END IF;
    IF e.payload ? 'snooze' AND e.payload ->> 'snooze' = 'once' THEN
        PERFORM async_event_update(e.id, '{"snooze": "no more"}'), async_event_snooze('1 ms');
    END IF;
END $$;
SELECT async_event_on('regress_part', 'regress_part(aside.event)', name => 'regress_one', max_attempts => 2, backoff => '1 ms', concurrency => 3);
SELECT async_event_on('regress_part', command => 'SELECT 1', name => 'regress_two', batch_size => 3);
CREATE FUNCTION regress_all(e aside.event) RETURNS void LANGUAGE sql AS $$ INSERT INTO regress_ended (payload, by) VALUES (e.payload - 'group', e.emitted_by) $$;
SELECT async_event_on('regress_all', 'regress_all(aside.event)');

-- every way to end, and two handlers; "group" is a word of SQL, and so quoted
SELECT async_event_group('regress_all', '{"what": "all ways"}') AS g \gset
SELECT count(async_event_emit('regress_part', NULL, "group" => :g)) FROM generate_series(1, 5);
SELECT count(async_event_emit('regress_part', '{"fail": 1}', "group" => :g));
SELECT count(async_event_emit('regress_part', '{"discard": 1}', "group" => :g));
SELECT count(async_event_emit('regress_part', '{"snooze": "never"}', "group" => :g));
SELECT count(async_event_emit('regress_part', NULL, delay => '10 ms', expires => '1 ms', "group" => :g));
SELECT async_event_emit('regress_part', NULL, delay => '1 hour', "group" => :g) AS later \gset
SELECT count(async_event_emit('regress_nobody', NULL, "group" => :g));
CALL until(format('(SELECT done = 6 AND dead = 2 AND expired = 1 FROM aside.event_groups WHERE id = %s)', :'g'));
SELECT then_channel, payload, owner = current_user AS mine, state, events, done, dead, cancelled, expired, ended, event FROM aside.event_groups WHERE id = :g;
SELECT async_event_group_close(:g);
SELECT async_event_group_close(:g);
SELECT state FROM aside.event_groups WHERE id = :g;
SELECT async_event_cancel(:later);
CALL until('EXISTS (SELECT FROM regress_ended)');
SELECT payload, by = current_user AS mine FROM regress_ended;
SELECT state, events, done, dead, cancelled, expired, ended IS NOT NULL AS has_ended, event IS NOT NULL AS told FROM aside.event_groups WHERE id = :g;
SELECT channel, state FROM aside.events WHERE id = (SELECT event FROM aside.event_groups WHERE id = :g);
SELECT count(*), count(DISTINCT id) FROM aside.events WHERE "group" = :g;
-- what ended is in the tables that say so
SELECT async_event_group_close(:g);
-- a dead one that is emitted again is no more of the group
SELECT async_event_redrive('regress_one');
CALL until('(SELECT count(*) FROM aside.dead_events WHERE handler = ''regress_one'') = 2');
SELECT count(*) FROM regress_ended;

-- one without events, in the transaction that makes it; payloads of each kind
BEGIN;
SELECT async_event_group_close(async_event_group('regress_all', p::jsonb)) FROM (VALUES (NULL), ('[]'), ('"text"'), ('1'), ('{"events": "mine"}')) v (p);
COMMIT;
CALL until('(SELECT count(*) FROM regress_ended) = 6');
SELECT payload FROM regress_ended WHERE n > 1 ORDER BY payload;

-- what is rolled back was not
BEGIN;
SELECT async_event_group('regress_all') AS g \gset
SELECT count(async_event_emit('regress_part', "group" => :g));
ROLLBACK;
SELECT async_event_emit('regress_part', "group" => :g);
SELECT async_event_group('regress_all') AS g \gset
BEGIN;
SAVEPOINT s;
SELECT count(async_event_emit('regress_part', "group" => :g));
ROLLBACK TO s;
SELECT async_event_group_close(:g);
SAVEPOINT s;
SELECT async_event_emit('regress_part', "group" => :g);
ROLLBACK TO s;
COMMIT;
CALL until('(SELECT count(*) FROM regress_ended) = 7');
SELECT payload FROM regress_ended WHERE n = 7;

-- bad input
SELECT async_event_group(NULL);
SELECT async_event_group('');
SELECT async_event_group('aside.failed');
SELECT async_event_group_close(NULL);
SELECT async_event_group_close(-1);
SELECT async_event_emit('regress_part', "group" => 0);
SELECT async_event_emit('regress_part', "group" => 'x');
SELECT async_event_emit('regress_part', "group" => NULL) > 0;
SELECT async_event_emit('regress_part', "group" => :g);

\set VERBOSITY terse
DO $$ BEGIN PERFORM async_event_emit('regress_part', "group" => g.id) FROM aside.event_groups g WHERE g.state = 'ended' LIMIT 1;
    EXCEPTION WHEN object_not_in_prerequisite_state THEN RAISE INFO '%', regexp_replace(SQLERRM, '[0-9]+', 'N'); END $$;
\set VERBOSITY sqlstate

-- who made it, and nobody else
SET ROLE regress_group_a;
SELECT async_event_group('regress_all', '{"what": "of a"}') AS g \gset
SET ROLE regress_group_b;
SELECT async_event_emit('regress_part', "group" => :g);
SELECT async_event_group_close(:g);
SELECT count(*) FROM aside.event_groups;
SELECT * FROM aside.event_group;
SET ROLE regress_group_a;
SELECT count(async_event_emit('regress_part', "group" => :g));
SELECT async_event_group_close(:g);
SELECT count(*) FROM aside.event_groups;
RESET ROLE;
CALL until('(SELECT count(*) FROM regress_ended) = 8');
SELECT payload, by FROM regress_ended WHERE n = 8;

-- with the last handler the group ends; a pause only holds it
SELECT async_event_pause('regress_two');
SELECT async_event_group('regress_all', '{"what": "dropped"}') AS g \gset
SELECT count(async_event_emit('regress_part', "group" => :g)) FROM generate_series(1, 3);
SELECT async_event_group_close(:g);
CALL until(format('(SELECT done = 3 FROM aside.event_groups WHERE id = %s)', :'g'));
SELECT state FROM aside.event_groups WHERE id = :g;
SELECT async_event_off('regress_two');
CALL until('(SELECT count(*) FROM regress_ended) = 9');
SELECT payload FROM regress_ended WHERE n = 9;

-- by way of a handler: groups in groups
CREATE FUNCTION regress_tree(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    g bigint;
BEGIN
    IF (e.payload ->> 'level')::int > 0 THEN
        g := async_event_group('regress_all', jsonb_build_object('what', 'tree', 'level', e.payload -> 'level'));
        PERFORM async_event_emit('regress_tree', jsonb_build_object('level', (e.payload ->> 'level')::int - 1), "group" => g) FROM generate_series(1, 2);
        PERFORM async_event_group_close(g);
    END IF;
END $$;
SELECT async_event_on('regress_tree', 'regress_tree(aside.event)', concurrency => 2);
SELECT count(async_event_emit('regress_tree', '{"level": 2}'));
CALL until('(SELECT count(*) FROM regress_ended WHERE payload ->> ''what'' = ''tree'') = 3');
SELECT payload FROM regress_ended WHERE payload ->> 'what' = 'tree' ORDER BY payload;
-- and a circle of them ends
CREATE TABLE regress_rounds (n serial, depth int);
CREATE FUNCTION regress_round(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO regress_rounds DEFAULT VALUES;
    PERFORM async_event_group_close(async_event_group('regress_round'));
END $$;
ALTER DATABASE :DBNAME SET aside.max_event_depth = 5;
SELECT async_event_on('regress_round', 'regress_round(aside.event)', max_attempts => 1);
SELECT count(async_event_emit('regress_round'));
CALL until('EXISTS (SELECT FROM aside.dead_events WHERE handler = ''regress_round'')');
SELECT (SELECT count(*) FROM regress_rounds) AS rounds, sqlstate, message FROM aside.dead_events WHERE handler = 'regress_round';
ALTER DATABASE :DBNAME RESET aside.max_event_depth;

SELECT count(async_event_off(name)) FROM aside.handlers WHERE name ~ '^regress_';
DROP TABLE regress_ended, regress_rounds;
DROP FUNCTION regress_part, regress_all, regress_tree, regress_round;
DROP ROLE regress_group_a, regress_group_b;
