-- Claim: nobody gains the rights of the tables' owner from an event, whatever
-- the search_path of its handler, and a view's condition tells nobody what
-- the view hides.
\set SHOW_CONTEXT never
CREATE ROLE regress_aside_attacker LOGIN;
CREATE ROLE regress_aside_victim LOGIN;
GRANT aside_user TO regress_aside_attacker, regress_aside_victim;
CREATE SCHEMA regress_trap AUTHORIZATION regress_aside_attacker;
CREATE TABLE regress_caught (who name);
GRANT INSERT, SELECT ON regress_caught TO PUBLIC;
SET ROLE regress_aside_attacker;
-- operators in front of the server's own: they note who is not their owner
CREATE FUNCTION regress_trap.note() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF current_user OPERATOR(pg_catalog.<>) 'regress_aside_attacker' THEN
        INSERT INTO public.regress_caught VALUES (current_user);
    END IF;
END $$;
CREATE FUNCTION regress_trap.eq(int, int) RETURNS boolean LANGUAGE plpgsql AS
$$ BEGIN PERFORM regress_trap.note(); RETURN $1 OPERATOR(pg_catalog.=) $2; END $$;
CREATE FUNCTION regress_trap.eq(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS
$$ BEGIN PERFORM regress_trap.note(); RETURN $1 OPERATOR(pg_catalog.=) $2; END $$;
CREATE FUNCTION regress_trap.eq(text, text) RETURNS boolean LANGUAGE plpgsql AS
$$ BEGIN PERFORM regress_trap.note(); RETURN $1 OPERATOR(pg_catalog.=) $2; END $$;
CREATE FUNCTION regress_trap.eq(tid, tid) RETURNS boolean LANGUAGE plpgsql AS
$$ BEGIN PERFORM regress_trap.note(); RETURN $1 OPERATOR(pg_catalog.=) $2; END $$;
CREATE FUNCTION regress_trap.part(jsonb, text[]) RETURNS text LANGUAGE plpgsql AS
$$ BEGIN PERFORM regress_trap.note(); RETURN $1 OPERATOR(pg_catalog.#>>) $2; END $$;
CREATE OPERATOR regress_trap.= (LEFTARG = int, RIGHTARG = int, FUNCTION = regress_trap.eq);
CREATE OPERATOR regress_trap.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = regress_trap.eq);
CREATE OPERATOR regress_trap.= (LEFTARG = text, RIGHTARG = text, FUNCTION = regress_trap.eq);
CREATE OPERATOR regress_trap.= (LEFTARG = tid, RIGHTARG = tid, FUNCTION = regress_trap.eq);
CREATE OPERATOR regress_trap.#>> (LEFTARG = jsonb, RIGHTARG = text[], FUNCTION = regress_trap.part);
-- the handler's owner has the trap in its search_path, and so has the handler, and the emitter, and who defines it
ALTER ROLE regress_aside_attacker SET search_path = regress_trap, pg_catalog, public;
\c - regress_aside_attacker
CREATE FUNCTION regress_trap.handles(t text) RETURNS void LANGUAGE sql AS
$$ SELECT pg_catalog.set_config('search_path', 'regress_trap, pg_catalog', false) $$;
SELECT async_event_on('trap', 'regress_trap.handles(text)'::regprocedure);
SELECT async_event_on('trap', name => 'set', command => 'SET search_path = regress_trap, pg_catalog');
SELECT async_event_emit('trap', '"a"', unique_key => 'one') > 0;
SELECT async_event_emit('trap', '"b"', unique_key => 'one', on_conflict => 'replace') > 0;
SELECT async_event_pause('set'), async_event_resume('set');
SELECT async_event_emit('trap', '"c"', unique_key => 'two') > 0;
\c - postgres
CALL until($$(SELECT count(*) FROM aside.events WHERE channel = 'trap' AND state IN ('done', 'cancelled')) = 6$$);
\c - regress_aside_attacker
SELECT async_event_off('trap'), async_event_off('set');
SELECT count(*) FROM regress_caught;

-- a type in front of the server's own: the handler is still the function that was named, and no other one gets a text as
-- something that it is not
CREATE FUNCTION regress_trap.typed(pg_catalog.text) RETURNS void LANGUAGE sql AS
$$ INSERT INTO public.regress_caught VALUES ('text ' || $1) $$;
SELECT async_event_on('type', 'regress_trap.typed(text)'::regprocedure, max_attempts => 1);
CREATE DOMAIN regress_trap.text AS bigint;
CREATE FUNCTION regress_trap.typed(regress_trap.text) RETURNS void LANGUAGE sql AS
$$ INSERT INTO public.regress_caught VALUES ('bigint ' || $1) $$;
SELECT async_event_emit('type', '"a"') > 0;
CALL public.until($$(SELECT count(*) FROM regress_caught) = 1$$);
SELECT who FROM regress_caught;
DROP FUNCTION regress_trap.typed(pg_catalog.text);
SELECT async_event_emit('type', '"b"') > 0;
CALL public.until($$(SELECT count(*) FROM aside.dead_events WHERE handler = 'type') = 1$$);
SELECT who FROM regress_caught;
SELECT sqlstate, message FROM aside.dead_events WHERE handler = 'type';
SELECT async_event_off('type');
DROP FUNCTION regress_trap.typed(regress_trap.text);
DROP DOMAIN regress_trap.text;

-- what others' events say is not told to a condition that costs nothing
\c - regress_aside_victim
SELECT async_event_on('fails', name => 'fails', command => 'SELECT 1/0', max_attempts => 1);
SELECT async_event_on('private', name => 'private', command => 'SELECT 1');
SELECT async_event_emit('fails', '"secret"') > 0, async_event_emit('private', '"secret"') > 0;
\c - postgres
CALL until($$(SELECT count(*) FROM aside.dead_events WHERE handler = 'fails') = 1$$);
CALL until($$(SELECT count(*) FROM aside.events WHERE handler = 'private' AND state = 'done') = 1$$);
\c - regress_aside_attacker
CREATE FUNCTION regress_trap.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS
$$ BEGIN IF $1 LIKE '%secret%' THEN RAISE NOTICE 'leak: %', $1; END IF; RETURN true; END $$;
SELECT count(*) FROM aside.events WHERE emitted_by <> current_user AND regress_trap.leak(payload::text);
SELECT count(*) FROM aside.dead_events WHERE regress_trap.leak(payload::text);
SELECT count(*) FROM aside.event_runs WHERE regress_trap.leak('secret ' || event);
\c - postgres
SELECT async_event_off('fails'), async_event_off('private');
SET client_min_messages = warning;
DROP SCHEMA regress_trap CASCADE;
DROP TABLE regress_caught;
DROP ROLE regress_aside_attacker, regress_aside_victim;
