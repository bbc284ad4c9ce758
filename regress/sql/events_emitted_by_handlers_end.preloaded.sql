-- Claim: a handler may emit; a chain of events that emit events comes to an end.
\set SHOW_CONTEXT never
CREATE ROLE regress_aside_chain LOGIN SUPERUSER;
ALTER ROLE regress_aside_chain SET aside.max_event_depth = 5;
\c - regress_aside_chain
CREATE TABLE told (n serial, what text);
CREATE FUNCTION again(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO told (what) VALUES (e.channel || ' ' || (e.payload #>> '{}'));
    PERFORM async_event_emit(e.channel, to_jsonb((e.payload #>> '{}')::int + 1));
END $$;
CREATE FUNCTION next(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO told (what) VALUES (e.channel || ' ' || (e.payload #>> '{}'));
    IF e.channel < 'chain_c' THEN
        PERFORM async_event_emit('chain_' || chr(ascii(right(e.channel, 1)) + 1), e.payload);
    END IF;
END $$;
CREATE VIEW todo AS SELECT FROM aside.events WHERE channel ~ '^chain' AND state IN ('waiting', 'running', 'retrying', 'delayed');
-- handlers of other channels
SELECT async_event_on('chain_a', 'next(aside.event)'), async_event_on('chain_b', 'next(aside.event)'), async_event_on('chain_c', 'next(aside.event)');
SELECT async_event_emit('chain_a', '1') > 0;
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT what FROM told ORDER BY n;
-- its own, without end
TRUNCATE told;
SELECT async_event_on('chain', 'again(aside.event)', max_attempts => 2, backoff => '0');
SELECT async_event_emit('chain', '1') > 0;
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT what FROM told ORDER BY n;
SELECT payload, attempts, sqlstate, message FROM aside.dead_events WHERE handler = 'chain';
-- who emits after that is not at that depth
SELECT autonomous_exec('SELECT async_event_emit(''chain_c'', ''2'')');
SELECT async_event_emit('chain_a', '3') > 0;
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT what FROM told WHERE what ~ 'chain_' ORDER BY what;
-- redriven, it begins anew, and ends again
TRUNCATE told;
SELECT async_event_redrive('chain');
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT what FROM told ORDER BY n;
SELECT count(*), min(payload::text::int) FROM aside.dead_events WHERE handler = 'chain';
-- at the commit
TRUNCATE told;
SELECT async_event_off('chain');
CREATE TABLE deferred (n int);
CREATE FUNCTION emits() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM async_event_emit('chain', to_jsonb(new.n + 1)); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER t AFTER INSERT ON deferred DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION emits();
SELECT async_event_on('chain', command => 'INSERT INTO public.deferred VALUES (($1 #>> ''{}'')::int)', max_attempts => 1);
SELECT async_event_emit('chain', '1') > 0;
CALL until('EXISTS (SELECT FROM aside.dead_events WHERE handler = ''chain'') OR (SELECT count(*) FROM deferred) > 20');
SELECT async_event_off('chain');
SELECT count(*) FROM deferred;
-- in a transaction of its own, which stays when the handler fails
CREATE FUNCTION aloud(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM async_event_emit('chain_c', '"never was"');
    PERFORM autonomous_exec('SELECT async_event_emit(''chain_c'', $1)', to_jsonb('attempt ' || e.attempt));
    RAISE EXCEPTION 'as asked';
END $$;
SELECT async_event_on('chain', 'aloud(aside.event)', max_attempts => 2, backoff => '0');
SELECT async_event_emit('chain', '1') > 0;
CALL until('EXISTS (SELECT FROM aside.dead_events WHERE handler = ''chain'')');
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT what FROM told ORDER BY n;
SELECT async_event_off('chain'), async_event_off('chain_a'), async_event_off('chain_b'), async_event_off('chain_c');
-- a handler pauses itself, and ends itself
CREATE FUNCTION selfish(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO told (what) VALUES (e.payload #>> '{}');
    IF e.payload = '"off"' THEN PERFORM async_event_off('chain'); ELSIF e.payload = '"pause"' THEN PERFORM async_event_pause('chain'); END IF;
END $$;
TRUNCATE told;
SELECT async_event_on('chain', 'selfish(aside.event)');
SELECT async_event_emit('chain', '"pause"') > 0;
CALL until('(SELECT paused FROM aside.handlers WHERE name = ''chain'')');
SELECT async_event_emit('chain', '"off"') > 0;
CALL events_pass();
SELECT what FROM told ORDER BY n;
SELECT async_event_resume('chain');
CALL until('NOT EXISTS (SELECT FROM aside.handlers WHERE name = ''chain'')');
SELECT what FROM told ORDER BY n;
DROP VIEW todo;
DROP TABLE told, deferred;
DROP FUNCTION again, next, emits, aloud, selfish;
\c - postgres
DROP ROLE regress_aside_chain;
