-- Claim: a handler is changed, or replaced, without an event lost, doubled or out of its order; who may change it is its owner's
-- affair; what is not said stays as it is.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_altered_a, regress_altered_b, regress_altered_c;
RESET client_min_messages;
CREATE ROLE regress_altered_a LOGIN IN ROLE aside_user;
CREATE ROLE regress_altered_b LOGIN IN ROLE aside_user;
CREATE ROLE regress_altered_c LOGIN IN ROLE aside_user;
GRANT regress_altered_b TO regress_altered_a;
CREATE TABLE regress_altered (n serial, id bigint, channel text, how text, role name DEFAULT current_user);
GRANT ALL ON regress_altered, regress_altered_n_seq TO PUBLIC;
CREATE FUNCTION regress_first(e aside.event) RETURNS void LANGUAGE sql AS $$ INSERT INTO regress_altered (id, channel, how) VALUES (e.id, e.channel, 'first') $$;
CREATE FUNCTION regress_second(e aside.event[]) RETURNS void LANGUAGE sql AS
    $$ INSERT INTO regress_altered (id, channel, how) SELECT i.id, i.channel, 'second' FROM unnest(e) i $$;
CREATE FUNCTION regress_mine(e aside.event) RETURNS void LANGUAGE sql AS $$ SELECT $$;
REVOKE ALL ON FUNCTION regress_mine FROM PUBLIC;
CREATE VIEW regress_options AS SELECT name, channel, owner = current_user AS mine, handler, command, concurrency AS con, batch_size AS size,
    max_attempts AS most, backoff, backoff_cap AS cap, timeout, ordered, durable, paused FROM aside.handlers WHERE name ~ '^regress';

-- each option by its name, and nothing else
SELECT async_event_on('regress_1', 'regress_first(aside.event)', name => 'regress_h');
SELECT async_event_alter('regress_h');
SELECT async_event_alter('regress_h', concurrency => 1, ordered => false, backoff => '1 s', handler => 'regress_first(aside.event)');
SELECT async_event_alter('regress_h', concurrency => 3, timeout => '1 min', ordered => true);
SELECT * FROM regress_options;
SELECT async_event_alter('regress_h', batch_size => 7, max_attempts => 2, backoff => '0', backoff_cap => '1 h', durable => true, timeout => '0');
SELECT * FROM regress_options;
SELECT async_event_alter('regress_h', command => 'SELECT $1');
SELECT async_event_alter('regress_h', new_name => 'regress_other', channel => 'regress_2', handler => 'regress_second(aside.event[])');
SELECT * FROM regress_options;
SELECT async_event_alter('regress_h', concurrency => 1);
-- what no handler can be
\set VERBOSITY terse
SELECT async_event_alter('regress_other', concurrency => 0);
SELECT async_event_alter('regress_other', timeout => '-1 s');
SELECT async_event_alter('regress_other', channel => '');
SELECT async_event_alter('regress_other', new_name => repeat('x', 2001));
SELECT async_event_alter('regress_other', handler => 'regress_first(aside.event)', command => 'SELECT 1');
SELECT async_event_alter('regress_other', handler => 'lower(text)', owner => 'regress_altered_a');
SELECT async_event_on('regress_2', command => 'SELECT 1', name => 'regress_taken');
SELECT async_event_alter('regress_other', new_name => 'regress_taken');
SELECT async_event_alter(NULL);
\set VERBOSITY default
SELECT async_event_alter('regress_other', new_name => 'regress_other');
SELECT async_event_off('regress_taken'), async_event_off('regress_other');

-- create or replace: what is not said is as for a new one; what it had to do stays, and so do a pause and the owner
SELECT async_event_on('regress_1', 'regress_first(aside.event)', name => 'regress_h', concurrency => 4, replace => true);
SELECT async_event_pause('regress_h');
SELECT count(async_event_emit('regress_1')) FROM generate_series(1, 3);
SELECT async_event_on('regress_1', 'regress_second(aside.event[])', name => 'regress_h', batch_size => 2, replace => true);
SELECT * FROM regress_options;
SELECT handler, state, count(*) FROM aside.events WHERE channel = 'regress_1' AND handler = 'regress_h' GROUP BY 1, 2;
SELECT async_event_resume('regress_h');
CALL until('(SELECT count(*) = 3 FROM regress_altered)');
SELECT how, count(*), count(DISTINCT id) FROM regress_altered GROUP BY how;
SELECT async_event_on('regress_1', 'regress_second(aside.event[])', name => 'regress_h');
SELECT async_event_on('regress_1', 'regress_first(aside.event)', name => 'regress_h', concurrency => NULL, replace => true);

-- another channel: what was emitted to the old one is still for it, and what comes is not
TRUNCATE regress_altered;
SELECT async_event_alter('regress_h', batch_size => 1);
SELECT async_event_pause('regress_h');
SELECT count(async_event_emit('regress_1')) FROM generate_series(1, 2);
SELECT async_event_alter('regress_h', channel => 'regress_2', handler => 'regress_first(aside.event)');
CALL until($$(SELECT former -> 0 ->> 'until' IS NOT NULL FROM aside.event_handler WHERE name = 'regress_h')$$);
SELECT count(async_event_emit('regress_1')), count(async_event_emit('regress_2')) FROM generate_series(1, 3);
SELECT channel, handler, state, count(*) FROM aside.events WHERE channel ~ '^regress_[12]$' AND state IS DISTINCT FROM 'done' GROUP BY 1, 2, 3 ORDER BY 1, 2;
SELECT async_event_resume('regress_h');
CALL until('(SELECT count(*) >= 5 FROM regress_altered)');
CALL events_pass();
SELECT channel, how, count(*), count(DISTINCT id) FROM regress_altered GROUP BY 1, 2 ORDER BY 1;
-- and back
SELECT async_event_alter('regress_h', channel => 'regress_1');
SELECT count(async_event_emit('regress_1')) FROM generate_series(1, 3);
CALL until($$(SELECT count(*) >= 5 FROM regress_altered WHERE channel = 'regress_1')$$);
CALL events_pass();
SELECT channel, how, count(*), count(DISTINCT id) FROM regress_altered GROUP BY 1, 2 ORDER BY 1;
SELECT async_event_off('regress_h');

-- whose it is
SET ROLE regress_altered_a;
SELECT async_event_on('regress_1', 'regress_first(aside.event)', name => 'regress_h');
SELECT async_event_alter('regress_h', owner => 'regress_altered_c');
SELECT async_event_alter('regress_h', handler => 'regress_mine(aside.event)');
SELECT async_event_pause('regress_h');
SELECT count(async_event_emit('regress_1'));
SELECT async_event_alter('regress_h', owner => 'regress_altered_b');
SELECT async_event_alter('regress_h', owner => 'regress_altered_b');
SET ROLE regress_altered_c;
SELECT async_event_alter('regress_h', concurrency => 2);
SELECT async_event_on('regress_1', 'regress_first(aside.event)', name => 'regress_h', replace => true);
SET ROLE regress_altered_b;
SELECT async_event_on('regress_1', 'regress_first(aside.event)', name => 'regress_h', concurrency => 2, replace => true);
SELECT owner, concurrency, paused FROM aside.handlers WHERE name = 'regress_h';
SELECT async_event_alter('regress_h', owner => 'regress_altered_a');
RESET ROLE;
SELECT async_event_resume('regress_h');
CALL until($$(SELECT count(*) = 1 FROM regress_altered WHERE role ~ '^regress')$$);
SELECT channel, how, role FROM regress_altered WHERE role ~ '^regress';
SELECT async_event_alter('regress_h', owner => 'regress_altered_c');
SELECT pg_catalog.pg_get_userbyid(t.typowner) AS owner FROM pg_type t WHERE t.typname ~ '^handler regress_h ';
ALTER ROLE regress_altered_b NOLOGIN;
SELECT async_event_alter('regress_h', owner => 'regress_altered_b');
SET aside.max_handlers_per_role = 1;
SELECT async_event_on('regress_1', command => 'SELECT 1', name => 'regress_a');
SELECT async_event_alter('regress_h', owner => current_user::regrole);
RESET aside.max_handlers_per_role;
SELECT async_event_off('regress_a'), async_event_off('regress_h');

-- dead events are dropped by their age
SELECT async_event_on('regress_1', command => 'SELECT 1 / 0', name => 'regress_h', max_attempts => 1);
SELECT count(async_event_emit('regress_1')) FROM generate_series(1, 3);
CALL until($$(SELECT count(*) = 3 FROM aside.dead_events WHERE handler = 'regress_h')$$);
SELECT async_event_purge('regress_h', '1 hour');
SELECT async_event_purge('regress_h', '-1 s');
SET ROLE regress_altered_c;
SELECT async_event_purge('regress_h');
RESET ROLE;
UPDATE aside.event_dead SET died = died - interval '2 hours' WHERE id = (SELECT min(id) FROM aside.dead_events WHERE handler = 'regress_h');
SELECT async_event_purge('regress_h', older => '1 hour');
SELECT async_event_purge('regress_h');
SELECT async_event_redrive('regress_h');
SELECT async_event_off('regress_h');
DROP VIEW regress_options;
DROP TABLE regress_altered;
DROP FUNCTION regress_first, regress_second, regress_mine;
DROP OWNED BY regress_altered_a, regress_altered_b, regress_altered_c;
DROP ROLE regress_altered_a, regress_altered_b, regress_altered_c;
