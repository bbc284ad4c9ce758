-- Claim: a handler may do what its owner may when it runs, not what the owner
-- could when it was made; others do not see its command.
\set SHOW_CONTEXT never
CREATE ROLE regress_aside_owner LOGIN;
CREATE ROLE regress_aside_other LOGIN;
GRANT aside_user TO regress_aside_owner, regress_aside_other;
CREATE SCHEMA regress_lent;
GRANT USAGE ON SCHEMA regress_lent TO regress_aside_owner;
CREATE TABLE regress_lent.told (n serial, what text);
CREATE FUNCTION regress_lent.lent(t text) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$ INSERT INTO regress_lent.told (what) VALUES (t) $$;
REVOKE ALL ON FUNCTION regress_lent.lent(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION regress_lent.lent(text) TO regress_aside_owner;
SET ROLE regress_aside_owner;
SELECT async_event_on('lent', 'regress_lent.lent(text)', max_attempts => 2, backoff => '10 ms'),
    async_event_on('command', name => 'secret', command => 'SELECT ''secret''');
RESET ROLE;
SELECT async_event_emit('lent', '"may"') > 0;
CALL until('(SELECT count(*) FROM regress_lent.told) = 1');
REVOKE EXECUTE ON FUNCTION regress_lent.lent(text) FROM regress_aside_owner;
SELECT async_event_emit('lent', '"execute revoked"') > 0;
CALL until('(SELECT count(*) FROM aside.dead_events) = 1');
GRANT EXECUTE ON FUNCTION regress_lent.lent(text) TO regress_aside_owner;
SELECT async_event_emit('lent', '"may again"') > 0;
CALL until('(SELECT count(*) FROM regress_lent.told) = 2');
REVOKE USAGE ON SCHEMA regress_lent FROM regress_aside_owner;
SELECT async_event_emit('lent', '"usage revoked"') > 0;
CALL until('(SELECT count(*) FROM aside.dead_events) = 2');
SELECT payload, attempts, sqlstate, message FROM aside.dead_events ORDER BY id;
SELECT what FROM regress_lent.told ORDER BY n;
-- with the right back, they are redriven
GRANT USAGE ON SCHEMA regress_lent TO regress_aside_owner;
SELECT async_event_redrive('lent');
CALL until('(SELECT count(*) FROM regress_lent.told) = 4');
SELECT what FROM regress_lent.told WHERE n > 2 ORDER BY what;

-- commands are their owners'
SET ROLE regress_aside_owner;
SELECT name, command FROM aside.handlers ORDER BY name;
SET ROLE regress_aside_other;
SELECT name, command FROM aside.handlers ORDER BY name;
SELECT command FROM aside.event_handler;
RESET ROLE;
GRANT regress_aside_owner TO regress_aside_other;
SET ROLE regress_aside_other;
SELECT name, command FROM aside.handlers ORDER BY name;
RESET ROLE;
SELECT async_event_off('lent'), async_event_off('secret');
\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA regress_lent CASCADE;
DROP ROLE regress_aside_owner, regress_aside_other;
