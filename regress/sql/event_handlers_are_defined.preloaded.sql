-- Claim: a handler is a function of one of four forms or a command, with
-- options in range, of a role that can log in; what is not is refused as such.
\set SHOW_CONTEXT never
CREATE TABLE regress_told (n serial, what text);
CREATE FUNCTION regress_e(e aside.event) RETURNS void LANGUAGE sql AS $$ INSERT INTO regress_told (what) VALUES (e.channel) $$;
CREATE FUNCTION regress_a(e aside.event[]) RETURNS int LANGUAGE sql AS $$ SELECT 1 $$;
CREATE FUNCTION regress_j(j jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT j $$;
CREATE FUNCTION regress_t(t text) RETURNS SETOF text LANGUAGE sql AS $$ SELECT t $$;
CREATE FUNCTION regress_none() RETURNS void LANGUAGE sql AS $$ SELECT 1 $$;
CREATE FUNCTION regress_two(e aside.event, t text) RETURNS void LANGUAGE sql AS $$ SELECT 1 $$;
CREATE FUNCTION regress_default(t text DEFAULT 'x') RETURNS void LANGUAGE sql AS $$ SELECT 1 $$;
CREATE FUNCTION regress_int(i int) RETURNS void LANGUAGE sql AS $$ SELECT 1 $$;
CREATE FUNCTION regress_json(j json) RETURNS void LANGUAGE sql AS $$ SELECT 1 $$;
CREATE FUNCTION regress_any(a anyelement) RETURNS void LANGUAGE sql AS $$ SELECT 1 $$;
CREATE PROCEDURE regress_p(t text) LANGUAGE sql AS $$ SELECT 1 $$;
CREATE AGGREGATE regress_agg(text) (SFUNC = textcat, STYPE = text);
CREATE FUNCTION regress_out(t text, OUT x int, OUT y int) LANGUAGE sql AS $$ SELECT 1, 2 $$;
CREATE SCHEMA "Regress s";
CREATE FUNCTION "Regress s"."Odd ""name"(t text) RETURNS void LANGUAGE sql AS $$ SELECT 1 $$;

-- the name is the channel's, where none is given
SELECT async_event_on('regress_c', 'regress_e(aside.event)');
SELECT async_event_on('regress_c', 'regress_a(aside.event[])', name => 'regress_2');
SELECT async_event_on('regress_c', 'regress_j(jsonb)', name => 'regress_3', concurrency => 4, batch_size => 10, max_attempts => 1,
    backoff => '0', backoff_cap => '1 day', timeout => '1 min', ordered => true, durable => true);
SELECT async_event_on('regress_c', 'regress_t(text)', name => 'regress_4');
SELECT async_event_on('regress_c', command => 'SELECT $1, $2', name => 'regress_5');
SELECT async_event_on('regress_c', '"Regress s"."Odd ""name"(text)', name => 'regress_6');
SELECT async_event_on('regress_c', 'regress_default(text)', name => 'regress_7');
SELECT async_event_on('regress_c', 'regress_out(text)', name => 'regress_8');
SELECT async_event_on('Regress "Ä" x', 'regress_t(text)');
SELECT * FROM (SELECT (jsonb_each_text(to_jsonb(h) - 'created' - 'owner')).* FROM aside.handlers h WHERE name = 'regress_c') o ORDER BY key COLLATE "C";
SELECT count(*), bool_and(owner = current_user) AS mine, bool_and(now() - created < '1 min') AS new FROM aside.handlers WHERE channel ~* '^regress';
SELECT name, channel, handler, command, exists FROM aside.handlers WHERE channel ~* '^regress' ORDER BY name COLLATE "C";
SELECT concurrency, batch_size, max_attempts, backoff, backoff_cap, timeout, ordered, durable, paused FROM aside.handlers WHERE name = 'regress_3';

-- other functions
SELECT async_event_on('regress_x', 'regress_none()');
\set VERBOSITY sqlstate
SELECT async_event_on('regress_x', 'regress_two(aside.event, text)');
SELECT async_event_on('regress_x', 'regress_int(int)');
SELECT async_event_on('regress_x', 'regress_json(json)');
SELECT async_event_on('regress_x', 'regress_any(anyelement)');
SELECT async_event_on('regress_x', 'regress_p(text)');
SELECT async_event_on('regress_x', 'regress_agg(text)');
SELECT async_event_on('regress_x', 4294967295::oid::regprocedure);
SELECT async_event_on('regress_x', 'regress_missing(text)');
\set VERBOSITY default
-- neither, both, a name that is taken
SELECT async_event_on('regress_x');
SELECT async_event_on('regress_x', 'regress_t(text)', 'SELECT 1');
SELECT async_event_on('regress_x', 'regress_t(text)', name => 'regress_c');
-- no channel
SELECT async_event_on(NULL, 'regress_t(text)');
SELECT async_event_on('', 'regress_t(text)');
-- a channel of 63 bytes, and one of 64, which NOTIFY does not know
SELECT async_event_on(repeat('é', 31) || 'x', 'regress_e(aside.event)', name => 'regress_long');
SELECT count(async_event_emit(repeat('é', 31) || 'x')), count(pg_notify(repeat('é', 31) || 'x', 'n'));
DO $$ BEGIN
    FOR i IN 1 .. 2000 LOOP
        COMMIT;
        EXIT WHEN (SELECT count(*) FROM regress_told) >= 2;
        IF i % 100 = 0 THEN PERFORM pg_notify(repeat('é', 31) || 'x', 'again'); END IF;
        PERFORM pg_sleep(0.005);
    END LOOP;
END $$;
SELECT count(*) >= 2, bool_and(what = repeat('é', 31) || 'x') FROM regress_told;
SELECT async_event_off('regress_long');
SELECT pg_notify(repeat('é', 32), '');
SELECT async_event_on(repeat('é', 32), 'regress_e(aside.event)', name => 'regress_long', durable => true);
SELECT async_event_on(repeat('é', 32), 'regress_e(aside.event)', name => 'regress_long');
TRUNCATE regress_told RESTART IDENTITY;
SELECT count(async_event_emit(repeat('é', 32)));
CALL until($$EXISTS (SELECT FROM regress_told WHERE what = repeat('é', 32))$$);
SELECT what = repeat('é', 32) AS long FROM regress_told;
SELECT async_event_off('regress_long');
-- options out of range
SELECT async_event_on('regress_x', 'regress_t(text)', concurrency => 0);
\set VERBOSITY terse
SELECT async_event_on('regress_x', 'regress_t(text)', concurrency => NULL);
SELECT async_event_on('regress_x', 'regress_t(text)', batch_size => 0);
SELECT async_event_on('regress_x', 'regress_t(text)', batch_size => -1);
SELECT async_event_on('regress_x', 'regress_t(text)', batch_size => NULL);
SELECT async_event_on('regress_x', 'regress_t(text)', max_attempts => 0);
SELECT async_event_on('regress_x', 'regress_t(text)', max_attempts => NULL);
SELECT async_event_on('regress_x', 'regress_t(text)', backoff => '-1 s');
SELECT async_event_on('regress_x', 'regress_t(text)', backoff => NULL);
SELECT async_event_on('regress_x', 'regress_t(text)', backoff_cap => '-1 s');
SELECT async_event_on('regress_x', 'regress_t(text)', backoff_cap => NULL);
SELECT async_event_on('regress_x', 'regress_t(text)', timeout => '0');
SELECT async_event_on('regress_x', 'regress_t(text)', timeout => '-1 s');
SELECT async_event_on('regress_x', 'regress_t(text)', ordered => NULL);
SELECT async_event_on('regress_x', 'regress_t(text)', durable => NULL);
\set VERBOSITY sqlstate
SELECT async_event_off(NULL);
SELECT async_event_pause(NULL);
SELECT async_event_resume(NULL);
SELECT async_event_redrive(NULL);
SELECT async_event_cancel(NULL);
SELECT async_event_off('regress_x');
SELECT async_event_pause('regress_x');
SELECT async_event_resume('regress_x');
SELECT async_event_redrive('regress_x');
\set VERBOSITY default
SELECT async_event_cancel(-1);
SELECT count(*) FROM aside.handlers WHERE channel = 'regress_x';

-- what a command and a function are is looked at when they run
BEGIN;
SELECT async_event_on('regress_x', command => 'no SQL');
SELECT async_event_on('regress_x', command => '', name => 'regress_y');
ROLLBACK;
SELECT count(*) FROM aside.handlers WHERE channel = 'regress_x';
-- in one transaction, and taken back
BEGIN;
SELECT async_event_on('regress_x', 'regress_t(text)');
SAVEPOINT s;
SELECT async_event_on('regress_x', 'regress_t(text)', name => 'regress_y');
ROLLBACK TO s;
SELECT async_event_off('regress_x');
SELECT async_event_on('regress_x', 'regress_t(text)');
COMMIT;
SELECT name FROM aside.handlers WHERE channel = 'regress_x';
SELECT async_event_pause('regress_x'), async_event_pause('regress_x'), async_event_resume('regress_x'), async_event_resume('regress_x');
SELECT async_event_redrive('regress_x'), async_event_redrive('regress_x', '{}'), async_event_redrive('regress_x', '{-1,NULL}');

-- the function has gone
ALTER FUNCTION regress_default(text) RENAME TO regress_renamed;
DROP FUNCTION regress_out(text);
SELECT name, exists FROM aside.handlers WHERE name IN ('regress_6', 'regress_7', 'regress_8') ORDER BY name;

-- its role
CREATE ROLE regress_aside_nologin;
CREATE ROLE regress_aside_public LOGIN;
CREATE ROLE regress_aside_user LOGIN;
GRANT aside_user TO regress_aside_nologin, regress_aside_user;
GRANT regress_aside_nologin TO regress_aside_user;
REVOKE EXECUTE ON FUNCTION regress_t(text) FROM PUBLIC;
SET ROLE regress_aside_nologin;
SELECT async_event_on('regress_x', 'regress_j(jsonb)', name => 'regress_y');
RESET ROLE;
SET ROLE regress_aside_user;
SELECT async_event_on('regress_x', 'regress_t(text)', name => 'regress_y');
SELECT async_event_on('regress_x', 'regress_j(jsonb)', name => 'regress_y');
SELECT owner FROM aside.handlers WHERE name = 'regress_y';
-- a schema that this role may not use
SET search_path = aside, public;
SELECT name, handler, exists FROM aside.handlers WHERE channel = 'regress_c' ORDER BY name;
RESET search_path;
RESET ROLE;
-- not for PUBLIC
SET ROLE regress_aside_public;
\set VERBOSITY sqlstate
SELECT async_event_on('regress_x', 'regress_j(jsonb)', name => 'regress_z');
SELECT async_event_off('regress_y');
SELECT async_event_pause('regress_y');
SELECT async_event_resume('regress_y');
SELECT async_event_emit('regress_x');
SELECT async_event_cancel(1);
SELECT async_event_redrive('regress_y');
SELECT aside.events_ready();
SELECT * FROM aside.coordinators;
SELECT * FROM aside.events;
RESET ROLE;
-- what these forward to is for nobody
SET ROLE regress_aside_user;
SELECT aside.async_event_off(10, 'regress_c');
SELECT aside.async_event_on(10, 'regress_x', NULL, 'SELECT 1', 'regress_z', 1, 1, 1, '0', '0', NULL, false, false, false, NULL, NULL, NULL, '1 s', NULL, false);
SELECT aside.event_put('regress_x', NULL, NULL, 0, NULL, 10, NULL, NULL);
SELECT aside.event_claim_key('regress_x', 'k', 1, 'keep', 0);
SELECT aside.want_events();
SELECT * FROM aside.event_handler;
SELECT * FROM aside.event_0;
SELECT * FROM aside.event_log;
SELECT * FROM aside.event_rows;
SELECT * FROM aside.event_states;
SELECT nextval('aside.event_id');
\set VERBOSITY default
RESET ROLE;

SELECT count(async_event_off(name)) FROM aside.handlers WHERE channel ~* '^regress';
SELECT count(*) FROM aside.handlers;
DROP ROLE regress_aside_nologin, regress_aside_public, regress_aside_user;
DROP FUNCTION "Regress s"."Odd ""name"(text);
DROP SCHEMA "Regress s";
DROP TABLE regress_told;
DROP PROCEDURE regress_p;
DROP AGGREGATE regress_agg(text);
DROP FUNCTION regress_e, regress_a, regress_j, regress_t, regress_none, regress_two, regress_renamed, regress_int, regress_json, regress_any;
