-- Claim: a handler is its owner's: it runs as its owner, with the owner's
-- settings and rights and none of the emitter's, and only who may act for the
-- owner may pause, resume, redrive or end it.
\set SHOW_CONTEXT never
CREATE ROLE regress_aside_owner LOGIN;
CREATE ROLE regress_aside_member LOGIN;
CREATE ROLE regress_aside_no_heir LOGIN NOINHERIT;
CREATE ROLE regress_aside_emitter LOGIN;
CREATE ROLE regress_aside_other LOGIN;
CREATE ROLE regress_aside_group;
GRANT regress_aside_group TO regress_aside_emitter;
GRANT aside_user TO regress_aside_group, regress_aside_owner, regress_aside_member, regress_aside_no_heir, regress_aside_emitter, regress_aside_other;
GRANT regress_aside_owner TO regress_aside_member, regress_aside_no_heir;
ALTER ROLE regress_aside_owner SET work_mem = '123kB';
ALTER ROLE regress_aside_owner SET aside_test.of = 'the owner';
ALTER ROLE regress_aside_emitter SET work_mem = '456kB';
ALTER ROLE regress_aside_emitter SET aside_test.of = 'the emitter';
GRANT ALL ON SCHEMA public TO regress_aside_owner;
CREATE TABLE secret (n int);
CREATE TABLE rows_of (who name, n int);
ALTER TABLE rows_of ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON rows_of USING (who = current_user);
INSERT INTO rows_of VALUES ('regress_aside_owner', 1), ('regress_aside_emitter', 2), ('postgres', 4);
GRANT SELECT ON rows_of TO PUBLIC;
SET ROLE regress_aside_owner;
CREATE TABLE told (n serial, what text);
CREATE FUNCTION told_by(t text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO told (what) VALUES (format('%s: %s %s %s, work_mem %s, of %s, rows %s', t, current_user, session_user, current_setting('role'),
        current_setting('work_mem'), current_setting('aside_test.of', true), (SELECT sum(n) FROM rows_of)));
END $$;
REVOKE ALL ON FUNCTION told_by(text) FROM PUBLIC;
CREATE FUNCTION looks(t text) RETURNS void LANGUAGE sql AS $$ SELECT * FROM secret $$;
SELECT async_event_on('whose', 'told_by(text)');
RESET ROLE;

-- emitters that may not even call it, nor see its tables
\c - regress_aside_emitter
SET aside_test.of = 'the session';
SET search_path = pg_catalog;
SET ROLE regress_aside_group;
SELECT public.async_event_emit('whose', '"by a group"') > 0;
RESET ROLE;
SELECT public.async_event_emit('whose', '"by the emitter"') > 0;
\c - postgres
SELECT async_event_emit('whose', '"by a superuser"') > 0;
CALL until('(SELECT count(*) FROM told) = 3');
SELECT what FROM told ORDER BY n;
SELECT payload, emitted_by FROM aside.events WHERE channel = 'whose' ORDER BY id;
-- made by a SECURITY DEFINER function, it is the definer's
CREATE FUNCTION makes() RETURNS text SECURITY DEFINER LANGUAGE sql AS $$ SELECT async_event_on('whose2', 'told_by(text)') $$;
ALTER FUNCTION makes() OWNER TO regress_aside_owner;
CREATE FUNCTION emits(p jsonb) RETURNS boolean SECURITY DEFINER LANGUAGE sql AS $$ SELECT async_event_emit('whose2', p) > 0 $$;
SET ROLE regress_aside_other;
SELECT makes();
SELECT emits('"by a definer"');
RESET ROLE;
CALL until('(SELECT count(*) FROM told) = 4');
SELECT what FROM told ORDER BY n DESC LIMIT 1;
SELECT e.emitted_by, h.owner FROM aside.events e JOIN aside.handlers h ON h.name = e.handler WHERE e.channel = 'whose2';
SELECT async_event_off('whose2');

-- it may do what its owner may, no more
SET ROLE regress_aside_owner;
SELECT async_event_on('whose3', 'looks(text)', max_attempts => 1);
RESET ROLE;
SELECT async_event_emit('whose3') AS e3 \gset
CALL until('EXISTS (SELECT FROM aside.dead_events WHERE channel = ''whose3'')');
SELECT sqlstate, message, attempts FROM aside.dead_events WHERE channel = 'whose3';
SELECT async_event_emit('whose', delay => '1 day') AS e \gset

-- others may not change it
SET ROLE regress_aside_other;
SELECT async_event_off('whose');
\set VERBOSITY sqlstate
SELECT async_event_pause('whose');
SELECT async_event_resume('whose');
SELECT async_event_redrive('whose3');
SELECT async_event_redrive('whose3', ARRAY[:e3]);
SELECT async_event_cancel(:e);
RESET ROLE;
SET ROLE regress_aside_no_heir;
SELECT async_event_pause('whose');
SELECT async_event_cancel(:e);
RESET ROLE;
-- the owner of the handler has not emitted the event, and may cancel it for the handler
SET ROLE regress_aside_owner;
BEGIN;
SELECT async_event_cancel(:e);
ROLLBACK;
RESET ROLE;
\set VERBOSITY default
-- the owner, its members, and superusers
SET ROLE regress_aside_owner;
SELECT async_event_pause('whose'), async_event_resume('whose'), async_event_redrive('whose', '{}');
RESET ROLE;
SET ROLE regress_aside_member;
SELECT async_event_pause('whose'), async_event_resume('whose'), async_event_redrive('whose', '{}');
SELECT async_event_redrive('whose3');
RESET ROLE;
SELECT async_event_pause('whose'), async_event_resume('whose'), async_event_redrive('whose', '{}');
SELECT async_event_cancel(:e), async_event_cancel(:e3);
CALL until('EXISTS (SELECT FROM aside.dead_events WHERE channel = ''whose3'')');
-- an event is its emitter's
SET ROLE regress_aside_emitter;
SELECT async_event_emit('whose', delay => '1 day') AS e \gset
RESET ROLE;
SET ROLE regress_aside_other;
\set VERBOSITY sqlstate
SELECT async_event_cancel(:e);
\set VERBOSITY default
RESET ROLE;
SET ROLE regress_aside_emitter;
SELECT async_event_cancel(:e);
RESET ROLE;
CALL until(format('(SELECT state = ''cancelled'' FROM aside.events WHERE id = %s)', :e));

-- what others see
CREATE FUNCTION see(OUT handlers bigint, OUT events bigint, OUT dead bigint, OUT runs boolean) LANGUAGE sql AS $$
    SELECT (SELECT count(*) FROM aside.handlers WHERE channel ~ '^whose'), (SELECT count(*) FROM aside.events WHERE channel = 'whose'),
        (SELECT count(*) FROM aside.dead_events WHERE channel ~ '^whose'), (SELECT count(*) > 0 FROM aside.event_runs WHERE handler ~ '^whose') $$;
SELECT * FROM see();
SET ROLE regress_aside_owner;
SELECT * FROM see();
RESET ROLE;
SET ROLE regress_aside_member;
SELECT * FROM see();
RESET ROLE;
SET ROLE regress_aside_emitter;
SELECT * FROM see();
RESET ROLE;
SET ROLE regress_aside_other;
SELECT * FROM see();
RESET ROLE;

-- the right to execute is asked for each time
REVOKE EXECUTE ON FUNCTION told_by(text) FROM regress_aside_owner;
ALTER FUNCTION told_by(text) OWNER TO postgres;
ALTER TABLE told OWNER TO postgres;
TRUNCATE told;
GRANT SELECT, INSERT ON told TO regress_aside_owner;
GRANT USAGE ON SEQUENCE told_n_seq TO regress_aside_owner;
SET ROLE regress_aside_owner;
SELECT async_event_off('whose'), async_event_off('whose3');
SELECT async_event_on('whose', command => 'SELECT public.told_by($1 #>> ''{}'')', max_attempts => 1);
RESET ROLE;
SELECT async_event_emit('whose', '"without the right"') AS e \gset
CALL until('EXISTS (SELECT FROM aside.dead_events WHERE channel = ''whose'')');
SELECT payload, sqlstate, message FROM aside.dead_events WHERE channel = 'whose';
GRANT EXECUTE ON FUNCTION told_by(text) TO regress_aside_owner;
SELECT async_event_redrive('whose');
CALL until('(SELECT count(*) FROM told) = 1');
SELECT what FROM told;
-- while the owner may not act events wait, no attempt is counted, and the view says why
CREATE FUNCTION waits(channel text) RETURNS TABLE (reason text, state text, attempts int) LANGUAGE sql AS $$
    SELECT h.reason, e.state, e.attempts FROM aside.handlers h JOIN aside.events e ON e.handler = h.name WHERE h.channel = $1
    AND e.state <> 'done' ORDER BY e.id DESC LIMIT 1 $$;
CREATE PROCEDURE sees_that(change text, undo text, expected int) LANGUAGE plpgsql AS $$
DECLARE r record;
BEGIN
    EXECUTE format(change, current_database());
    COMMIT;
    PERFORM async_event_emit('whose', '"waits"');
    -- behind it
    PERFORM async_event_emit('behind');
    COMMIT;
    CALL until(format('(SELECT count(*) FROM behind) = %s', expected - 1));
    SELECT * INTO r FROM waits('whose');
    RAISE INFO '% %: %', r.state, r.attempts, replace(r.reason, current_database(), 'this');
    EXECUTE format(undo, current_database());
    COMMIT;
    CALL until(format('(SELECT count(*) FROM told) = %s', expected));
END $$;
CREATE TABLE behind (n int);
SELECT async_event_on('behind', command => 'INSERT INTO public.behind VALUES (1)');
CALL sees_that('ALTER ROLE regress_aside_owner NOLOGIN', 'ALTER ROLE regress_aside_owner LOGIN', 2);
CALL sees_that('ALTER ROLE regress_aside_owner VALID UNTIL ''2001-01-01''', 'ALTER ROLE regress_aside_owner VALID UNTIL ''infinity''', 3);
CALL sees_that('REVOKE CONNECT ON DATABASE %I FROM PUBLIC', 'GRANT CONNECT ON DATABASE %I TO PUBLIC', 4);
CALL sees_that('REVOKE aside_user FROM regress_aside_owner', 'GRANT aside_user TO regress_aside_owner', 5);
SELECT count(*) FROM aside.dead_events WHERE channel = 'whose';
-- who was a superuser is none at the next event; from 17 on a process does not remember what he was
ALTER ROLE regress_aside_owner SUPERUSER;
SET ROLE regress_aside_owner;
SELECT async_event_on('super', command => 'INSERT INTO public.told (what) SELECT ''superuser: '' || CASE WHEN current_setting(''server_version_num'')::int < 170000
    THEN current_setting(''is_superuser'') ELSE (SELECT CASE WHEN rolsuper THEN ''on'' ELSE ''off'' END FROM pg_catalog.pg_roles WHERE rolname = current_user) END');
RESET ROLE;
SELECT async_event_emit('super') > 0;
CALL until('(SELECT count(*) FROM told) = 6');
ALTER ROLE regress_aside_owner NOSUPERUSER;
SELECT async_event_emit('super') > 0;
CALL until('(SELECT count(*) FROM told) = 7');
SELECT what FROM told WHERE what ~ '^superuser' ORDER BY n;
-- none can be made by who may not act
REVOKE aside_user FROM regress_aside_owner;
CREATE FUNCTION makes_none() RETURNS text SECURITY DEFINER LANGUAGE sql AS $$ SELECT async_event_on('none', command => 'SELECT 1') $$;
GRANT EXECUTE ON FUNCTION async_event_on TO regress_aside_owner;
ALTER FUNCTION makes_none() OWNER TO regress_aside_owner;
SELECT makes_none();
REVOKE EXECUTE ON FUNCTION async_event_on FROM regress_aside_owner;
GRANT aside_user TO regress_aside_owner;
DROP FUNCTION makes_none();

-- the owner is not dropped, hands on, and gives up
\set VERBOSITY terse
DROP ROLE regress_aside_owner;
\set VERBOSITY default
ALTER ROLE regress_aside_owner RENAME TO regress_aside_renamed;
SELECT name, owner, reason FROM aside.handlers WHERE name = 'whose';
REASSIGN OWNED BY regress_aside_renamed TO regress_aside_member;
SELECT name, owner, reason FROM aside.handlers WHERE name = 'whose';
GRANT INSERT ON told TO regress_aside_member;
GRANT USAGE ON SEQUENCE told_n_seq TO regress_aside_member;
SELECT async_event_emit('super') > 0;
CALL until('(SELECT count(*) FROM told) = 8');
CALL until('(SELECT bool_and(owner = ''regress_aside_member'') FROM aside.event_handler WHERE name <> ''behind'')');
SELECT async_event_emit('whose', '"never handled"', delay => '1 day') > 0;
SET ROLE regress_aside_member;
SELECT async_event_pause('whose'), async_event_resume('whose');
RESET ROLE;
SELECT async_event_emit('super', unique_key => 'free with its handler', delay => '1 hour') > 0;
DROP OWNED BY regress_aside_renamed, regress_aside_member;
DROP ROLE regress_aside_renamed;
SELECT name FROM aside.handlers ORDER BY name;
SELECT async_event_resume('whose');
CALL until('NOT EXISTS (SELECT FROM aside.event_handler WHERE channel = ''whose'')');
CALL until('NOT EXISTS (SELECT FROM aside.event_unique WHERE channel = ''super'')');
SELECT async_event_on('whose', command => 'SELECT 1'), async_event_off('whose'), async_event_off('behind');
SELECT count(*) AS proxies FROM pg_type WHERE typnamespace = 'aside'::regnamespace AND NOT typisdefined;
CALL until('(SELECT state = ''idle'' FROM aside.coordinators WHERE database = current_database())');

DROP TABLE behind;
DROP FUNCTION waits;
DROP PROCEDURE sees_that;
DROP TABLE told, secret, rows_of;
DROP FUNCTION told_by, emits, see;
DROP ROLE regress_aside_member, regress_aside_no_heir, regress_aside_emitter, regress_aside_other, regress_aside_group;
