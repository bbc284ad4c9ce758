-- Claim: NOTIFY runs the handlers of its channel, in the order of commits, once
-- each; listening clients get theirs as before; a durable handler records it.
\set SHOW_CONTEXT never
CREATE TABLE told (n serial, handler text, what text);
CREATE FUNCTION te(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO told (handler, what) VALUES ('event', format('%s|%s|%s|%s|%s|%s|%s|%s', e.id IS NULL, e.channel, e.payload, e.key, (e.headers ->> 'pid')::int <> pg_backend_pid(), e.attempt, e.emitted_by, e.priority));
END $$;
CREATE FUNCTION ta(e aside.event[]) RETURNS void LANGUAGE sql AS $$ INSERT INTO told (handler, what) SELECT 'array of ' || array_length(e, 1), e[1].payload $$;
CREATE FUNCTION tj(j jsonb) RETURNS void LANGUAGE sql AS $$ INSERT INTO told (handler, what) VALUES ('jsonb', jsonb_typeof(j) || ' ' || j::text) $$;
CREATE FUNCTION tt(t text) RETURNS void LANGUAGE sql AS $$ INSERT INTO told (handler, what) VALUES ('text', '<' || t || '>') $$;
CREATE FUNCTION tell(OUT handler text, OUT what text) RETURNS SETOF record LANGUAGE sql AS $$ DELETE FROM told RETURNING handler, what $$;
CREATE VIEW todo AS SELECT FROM aside.events WHERE channel ~ '^note' AND state IN ('waiting', 'running', 'retrying', 'delayed');
-- a handler that has handled an event listens
CREATE PROCEDURE listens(channel text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM async_event_emit(channel, '"ready"');
    COMMIT;
    CALL until('NOT EXISTS (SELECT FROM todo)');
    DELETE FROM told;
END $$;

-- each form
SELECT async_event_on('note', 'te(aside.event)', name => 'note_e'), async_event_on('note', 'ta(aside.event[])', name => 'note_a', batch_size => 10), async_event_on('note', 'tj(jsonb)', name => 'note_j'),
    async_event_on('note', 'tt(text)', name => 'note_t'), async_event_on('note', command => 'INSERT INTO public.told (handler, what) VALUES (''command'', $1 || '' '' || $2)', name => 'note_c', max_attempts => 1);
CALL listens('note');
NOTIFY note, '{"a": 1}';
CALL until('(SELECT count(*) FROM told) = 5');
SELECT * FROM tell() ORDER BY 1;
-- no payload; what is no JSON is lost for those who want it
NOTIFY note;
CALL until('(SELECT count(*) FROM told) = 4');
SELECT * FROM tell() ORDER BY 1;
NOTIFY note, 'no JSON';
CALL until('(SELECT count(*) FROM told) = 4');
SELECT * FROM tell() ORDER BY 1;
SELECT pg_notify('note', '["äöü", "€", "日本"]');
CALL until('(SELECT count(*) FROM told) = 5');
SELECT * FROM tell() ORDER BY 1;
-- the longest one
SELECT pg_notify('note', repeat('x', 7999));
CALL until('(SELECT count(*) FROM told) = 4');
SELECT handler, length(what) FROM tell() ORDER BY 1;
-- who said it
CREATE FUNCTION ts(e aside.event[]) RETURNS void LANGUAGE sql AS $$ INSERT INTO told (handler, what) VALUES ('sender', e[1].headers::text = format('{"pid": %s}', e[1].payload #>> '{}')) $$;
SELECT async_event_on('note_s', 'ts(aside.event[])');
CALL listens('note_s');
SELECT length(pg_notify('note_s', pg_backend_pid()::text)::text);
CALL until('(SELECT count(*) FROM told) = 1');
SELECT * FROM tell();
SELECT async_event_off('note_s');
-- none of it was recorded
SELECT count(*) FROM aside.events WHERE channel = 'note' AND payload <> '"ready"';
SELECT async_event_off('note_e'), async_event_off('note_a'), async_event_off('note_j'), async_event_off('note_c');

-- rolled back, in part or as a whole; said twice
BEGIN;
NOTIFY note, 'rolled back';
ROLLBACK;
BEGIN;
NOTIFY note, '1';
SAVEPOINT s;
NOTIFY note, 'rolled back';
ROLLBACK TO s;
NOTIFY note, '2';
NOTIFY note, '1';
COMMIT;
NOTIFY note, '3';
CALL until('(SELECT count(*) FROM told) = 3');
SELECT string_agg(what, ' ' ORDER BY n) FROM told;
-- many, of one transaction and of others, and other sessions
TRUNCATE told;
SELECT count(pg_notify('note', g::text)) FROM generate_series(1, 10000) g;
DO $$ BEGIN FOR i IN 10001..10200 LOOP PERFORM pg_notify('note', i::text); COMMIT; END LOOP; END $$;
SELECT autonomous_exec('NOTIFY note, ''10201''');
CALL until('(SELECT count(*) FROM told) = 10201');
SELECT count(*), bool_and(in_order) FROM (SELECT substring(what, '\d+')::int > lag(substring(what, '\d+')::int, 1, 0) OVER (ORDER BY n) AS in_order FROM told) x;
-- from a trigger, and with a session that listens too
TRUNCATE told;
CREATE TABLE source (t text);
CREATE FUNCTION notifies() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_notify('note', new.t); RETURN new; END $$;
CREATE TRIGGER t BEFORE INSERT ON source FOR EACH ROW EXECUTE FUNCTION notifies();
SELECT autonomous_exec('INSERT INTO source VALUES (''a''), (''b'')');
CALL until('(SELECT count(*) FROM told) = 2');
SELECT string_agg(what, ' ' ORDER BY n) FROM told;
SELECT autonomous_session_open('s');
SELECT autonomous_session_exec('s', 'LISTEN note');
SELECT autonomous_exec('NOTIFY note, ''for both''');
CALL until('(SELECT count(*) FROM told) = 3');
SELECT autonomous_session_exec('s', 'SELECT 1');
SELECT channel, payload FROM autonomous_session_notifications('s');
SELECT autonomous_session_close('s');
-- a handler that fails: once only
CREATE SEQUENCE tries;
CREATE FUNCTION fails(t text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('tries'); RAISE EXCEPTION 'as asked'; END $$;
SELECT async_event_on('note', 'fails(text)', name => 'note_f', backoff => '0');
CALL listens('note');
CALL until('(SELECT last_value = 5 FROM tries)');
NOTIFY note, 'fails';
CALL until('(SELECT last_value = 6 FROM tries)');
CALL events_pass();
SELECT last_value FROM tries;
SELECT async_event_off('note_f');
-- a handler that notifies its own channel
TRUNCATE told;
CREATE FUNCTION counts(t text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO told (what) VALUES (t);
    IF t::int > 0 THEN PERFORM pg_notify('note_self', (t::int - 1)::text); END IF;
EXCEPTION WHEN invalid_text_representation THEN NULL;
END $$;
SELECT async_event_on('note_self', 'counts(text)');
CALL listens('note_self');
NOTIFY note_self, '20';
CALL until('(SELECT count(*) FROM told) = 21');
SELECT string_agg(what, ' ' ORDER BY n) FROM told;
SELECT async_event_off('note_self'), async_event_off('note_t');

-- channels: long ones, odd ones, one that comes and goes
TRUNCATE told;
SELECT async_event_on(repeat('note', 15), 'tt(text)'), async_event_on('note Ü "x"', 'tt(text)');
CALL listens('note Ü "x"');
SELECT pg_notify(repeat('note', 15), 'long'), pg_notify('note Ü "x"', 'odd'), pg_notify('note ü "x"', 'another');
CALL until('(SELECT count(*) FROM told) = 2');
SELECT what FROM told ORDER BY 1;
SELECT async_event_off('note Ü "x"');
SELECT async_event_on('note Ü "x"', 'tt(text)', name => 'note_odd');
CALL listens('note Ü "x"');
SELECT pg_notify('note Ü "x"', 'odd again');
CALL until('(SELECT count(*) FROM told) = 1');
SELECT what FROM told;
SELECT async_event_off('note_odd'), async_event_off(repeat('note', 15));

-- durable: recorded, visible, retried, dead at last, redriven
TRUNCATE told;
CREATE FUNCTION second(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF e.payload = '"ready"' THEN RETURN; END IF;
    IF e.payload = '"never"' AND NOT EXISTS (SELECT FROM told WHERE what = 'works now') OR e.attempt = 1 AND e.payload = '"second time"' THEN RAISE EXCEPTION 'not now'; END IF;
    INSERT INTO told (what) VALUES (format('%s|%s|%s|%s', e.id > 0, e.payload, e.attempt, (e.headers ->> 'pid')::int <> pg_backend_pid()));
END $$;
SELECT async_event_on('note_d', 'second(aside.event)', durable => true, max_attempts => 2, backoff => '0', name => 'note_d'), async_event_on('note_d', 'tt(text)', name => 'note_t');
CALL listens('note_d');
NOTIFY note_d, 'at once';
NOTIFY note_d, 'second time';
NOTIFY note_d, 'never';
NOTIFY note_d, '';
CALL until('(SELECT count(*) FROM told) = 7');
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT what FROM told WHERE handler IS NULL ORDER BY what;
SELECT what FROM told WHERE handler = 'text' ORDER BY n;
SELECT payload, state, attempts, handler, emitted_by ~ 'unknown' AS by_nobody, headers ? 'pid' AS has_pid FROM aside.events WHERE channel = 'note_d' AND payload <> '"ready"' ORDER BY id;
SELECT payload, attempts, message FROM aside.dead_events WHERE handler = 'note_d';
INSERT INTO told (what) VALUES ('works now');
SELECT async_event_redrive('note_d');
CALL until('EXISTS (SELECT FROM told WHERE what ~ ''never'' AND handler IS NULL)');
SELECT what FROM told WHERE what ~ 'never' AND handler IS NULL;
SELECT async_event_off('note_t');
-- commands and text are told what the notification said
TRUNCATE told;
SELECT async_event_off('note_d');
SELECT async_event_on('note_d', 'tt(text)', name => 'note_t', durable => true), async_event_on('note_d', 'tj(jsonb)', name => 'note_j', durable => true),
    async_event_on('note_d', command => 'INSERT INTO public.told (handler, what) VALUES (''command'', $1 || '' '' || $2)', name => 'note_c', max_attempts => 1, durable => true);
CALL listens('note_d');
NOTIFY note_d, '{"a": "ä"}';
CALL until('(SELECT count(*) FROM told) = 3');
SELECT * FROM tell() ORDER BY 1;
-- many
SELECT async_event_off('note_j'), async_event_off('note_c');
SELECT count(pg_notify('note_d', g::text)) FROM generate_series(1, 2000) g;
CALL until('(SELECT count(*) FROM told) = 2000');
SELECT count(*), bool_and(in_order) FROM (SELECT substring(what, '\d+')::int > lag(substring(what, '\d+')::int, 1, 0) OVER (ORDER BY n) AS in_order FROM told) x;
-- paused ones wait, and are there when it goes on
TRUNCATE told;
SELECT async_event_pause('note_t');
NOTIFY note_d, 'while paused';
CALL until('EXISTS (SELECT FROM aside.events WHERE payload = ''"while paused"'')');
SELECT state FROM aside.events WHERE payload = '"while paused"';
SELECT async_event_resume('note_t');
CALL until('(SELECT count(*) FROM told) = 1');
SELECT async_event_off('note_t');
SELECT pg_notification_queue_usage() < 0.01 AS drained;
DROP VIEW todo;
DROP TABLE told, source;
DROP SEQUENCE tries;
DROP FUNCTION te, ta, tj, tt, ts, tell, notifies, fails, counts, second;
DROP PROCEDURE listens;
