-- Claim: who waits for an event is woken by its end; what has ended stays readable as long as its handler says; a handler may get
-- events that were emitted before it; and of what fails for good those are told who handle channel aside.failed, but never of that itself.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_waits_a, regress_waits_b;
RESET client_min_messages;
CREATE ROLE regress_waits_a LOGIN IN ROLE aside_user;
CREATE ROLE regress_waits_b LOGIN IN ROLE aside_user;
CREATE TABLE regress_got (n serial, channel text, payload jsonb, role name DEFAULT current_user);
GRANT ALL ON regress_got, regress_got_n_seq TO PUBLIC;
CREATE FUNCTION regress_got(e aside.event) RETURNS void LANGUAGE sql AS $$ INSERT INTO public.regress_got (channel, payload) VALUES (e.channel, e.payload) $$;

-- waited for: by all of its handlers
SELECT async_event_on('regress_w', 'regress_got(aside.event)');
SELECT async_event_on('regress_w', command => 'SELECT pg_advisory_xact_lock(20261127)', name => 'regress_w2', max_attempts => 1);
SELECT pg_advisory_lock(20261127);
SELECT async_event_emit('regress_w', '1') AS id \gset
CALL until('(SELECT count(*) = 1 FROM regress_got)');
SELECT async_event_wait(:id, '50 ms'), async_event_wait(:id, '0');
SELECT autonomous_session_open('regress_w'), autonomous_session_exec('regress_w', 'SET application_name = ''regress waiter''');
SELECT autonomous_session_send('regress_w', format('SELECT async_event_wait(%s, ''1 min'')', :id));
CALL until($$EXISTS (SELECT FROM pg_stat_activity WHERE query ~ 'async_event_wait' AND backend_type = 'pg_aside worker' AND wait_event_type IS NOT NULL)$$);
SELECT pg_advisory_unlock(20261127);
SELECT * FROM autonomous_session_result('regress_w') AS r(ended boolean);
SELECT autonomous_session_close('regress_w');
SELECT async_event_wait(:id, '30 s'), async_event_wait(:id, '0');
SELECT async_event_state(:id);
-- a dead one has ended; so has one that nobody handles, and one that the tables do not have any more
SELECT async_event_wait(async_event_emit('regress nobody'));
SELECT async_event_emit('regress nobody') AS nobody \gset
SELECT async_event_wait(:nobody), async_event_wait(1);
BEGIN;
SELECT async_event_emit('regress_w', '2') AS mine \gset
\set VERBOSITY sqlstate
SELECT async_event_wait(:mine);
\set VERBOSITY default
ROLLBACK;
SELECT async_event_wait(NULL);
SELECT async_event_wait(9223372036854775807);
SET ROLE regress_waits_b;
\set VERBOSITY sqlstate
SELECT async_event_wait(:id);
\set VERBOSITY default
RESET ROLE;
SELECT async_event_off('regress_w'), async_event_off('regress_w2');

-- since
TRUNCATE regress_got;
SELECT clock_timestamp() AS before \gset
SELECT count(async_event_emit('regress_since', to_jsonb(i))) FROM generate_series(1, 3) i;
SELECT clock_timestamp() AS between \gset
SELECT count(async_event_emit('regress_since', '4'));
SELECT async_event_on('regress_since', 'regress_got(aside.event)', name => 'regress_all', since => :'before');
SELECT async_event_on('regress_since', command => 'INSERT INTO regress_got (channel, payload) VALUES (''later'', $1)', name => 'regress_later', since => :'between');
SELECT async_event_on('regress_since', command => 'INSERT INTO regress_got (channel, payload) VALUES (''now'', $1)', name => 'regress_now');
SELECT count(async_event_emit('regress_since', '5'));
CALL until('(SELECT count(*) = 8 FROM regress_got)');
CALL events_pass();
SELECT channel, payload FROM regress_got ORDER BY channel, payload;
SELECT async_event_on('regress_since', 'regress_got(aside.event)', name => 'regress_never', since => 'infinity');
SELECT async_event_off(name) FROM aside.handlers WHERE channel = 'regress_since';

-- history: of what ended, however it did, before and after its partition was emptied
SELECT async_event_on('regress_h', command => 'SELECT 1 / $1::text::int', name => 'regress_h', max_attempts => 1, history => '1 hour');
SELECT async_event_on('regress_h', command => 'SELECT 1', name => 'regress_none');
SELECT history FROM aside.handlers WHERE name = 'regress_h';
SELECT count(async_event_emit('regress_h', to_jsonb(i))) FROM generate_series(0, 1) i;
SELECT async_event_emit('regress_h', '2', delay => '1 hour') AS h2 \gset
SELECT async_event_cancel(:h2), count(async_event_emit('regress_h', '3', delay => '1 hour', expires => '1 ms'));
CALL until($$(SELECT count(*) = 4 FROM aside.event_history WHERE handler = 'regress_h')$$);
SELECT payload, state, attempts, sqlstate, message FROM aside.event_history WHERE handler ~ '^regress_' ORDER BY id;
SELECT aside.event_keep_history(p) FROM generate_series(0, 2) p;
SELECT payload, state, attempts, sqlstate, message FROM aside.event_past p JOIN aside.event_handler h ON h.id = p.handler WHERE name ~ '^regress_' ORDER BY p.id;
SET ROLE regress_waits_b;
SELECT count(*) FROM aside.event_history;
RESET ROLE;
UPDATE aside.event_past SET ended = ended - interval '2 hours';
SELECT count(*) FROM aside.event_history h JOIN aside.event_past p ON p.id = h.id AND p.ended = h.ended;
SELECT async_event_alter('regress_h', history => '0');
SELECT count(*) FROM aside.event_history WHERE handler = 'regress_h';
SELECT async_event_alter('regress_h', history => '-1 s');
SELECT async_event_off(name) FROM aside.handlers WHERE channel = 'regress_h';
SELECT count(*) FROM aside.event_past;

-- what failed for good
TRUNCATE regress_got;
GRANT regress_waits_a TO regress_waits_b;
SELECT async_event_on('aside.failed', 'regress_got(aside.event)', name => 'regress_failed');
SET ROLE regress_waits_a;
SELECT async_event_on('aside.failed', 'regress_got(aside.event)', name => 'regress_failed_a');
SET ROLE regress_waits_b;
SELECT async_event_on('regress_f', command => 'DO $d$ BEGIN RAISE ''no'' USING DETAIL = ''why''; END $d$', name => 'regress_f', max_attempts => 2, backoff => '0');
SELECT async_event_on('aside.failed', command => 'SELECT 1 / 0', name => 'regress_failed_b', max_attempts => 1);
SELECT schedule_set('regress_f', 'every 1 hour', 'SELECT 1 / 0') > 0 AS set;
SELECT async_event_emit('aside.failed', '"a lie"');
SELECT async_event_emit('regress_f') AS id \gset
SELECT async_event_wait(:id, '30 s');
SELECT schedule_run_now('regress_f') AS run \gset
SELECT schedule_wait(:run, '30 s');
RESET ROLE;
NOTIFY "aside.failed", 'a lie';
CALL until('(SELECT count(*) = 2 FROM regress_got)');
CALL until($$(SELECT count(*) = 2 FROM aside.dead_events WHERE handler = 'regress_failed_b')$$);
CALL events_pass();
SELECT channel, payload - 'event' - 'run' - 'context' AS payload, role = current_user AS superuser FROM regress_got ORDER BY payload ->> 'kind';
SELECT (payload ->> 'event')::bigint = :id AS its FROM regress_got WHERE payload ->> 'kind' = 'event';
SELECT handler, payload ->> 'kind' AS kind FROM aside.dead_events WHERE channel = 'aside.failed' ORDER BY 1, 2;
SELECT schedule_drop('regress_f');
SELECT async_event_off(name) FROM aside.handlers WHERE name ~ '^regress_f';
DROP TABLE regress_got;
DROP FUNCTION regress_got;
DROP OWNED BY regress_waits_a, regress_waits_b;
DROP ROLE regress_waits_a, regress_waits_b;
