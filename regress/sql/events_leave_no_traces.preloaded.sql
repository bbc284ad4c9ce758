-- Claim: a handler finds nothing of the one before, cannot end its own
-- transaction, and takes nobody with it when its process ends.
\set SHOW_CONTEXT never
CREATE ROLE regress_aside_plain;
CREATE ROLE regress_aside_super LOGIN SUPERUSER;
GRANT regress_aside_plain TO regress_aside_super;
\c - regress_aside_super
CREATE TABLE told (n serial, what text, attempt int, pid int DEFAULT pg_backend_pid());
GRANT ALL ON told TO PUBLIC;
CREATE VIEW todo AS SELECT FROM aside.events WHERE channel ~ '^trace' AND state IN ('waiting', 'running', 'retrying', 'delayed');
CREATE FUNCTION runs(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE e.payload #>> '{}';
EXCEPTION WHEN invalid_transaction_termination THEN
    INSERT INTO told (what) VALUES (SQLSTATE || ' ' || (e.payload #>> '{}'));
END $$;
CREATE FUNCTION looks(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO told (what, attempt) SELECT format('%s: as %s %s, path %s, work_mem %s, custom "%s", read only %s, temp %s, locks %s, prepared %s, cursors %s, listens %s, tables %s',
        e.payload #>> '{}', current_user, session_user, current_setting('search_path'), current_setting('work_mem'), current_setting('aside_test.x', true),
        current_setting('transaction_read_only'), (SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND relname = 'trace_temp'),
        (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
        (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_cursors), (SELECT count(*) FROM pg_listening_channels()), to_regclass('trace_temp') IS NOT NULL), e.attempt;
END $$;
SELECT async_event_on('trace', 'runs(aside.event)', max_attempts => 1, name => 'trace'), async_event_on('trace_look', 'looks(aside.event)');
-- one lease, and one process, for all of these: a transaction for each
CREATE FUNCTION does(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF e.payload ->> 'run' IS NULL THEN
        PERFORM looks(e);
    ELSE
        EXECUTE e.payload ->> 'run';
    END IF;
END $$;
SELECT async_event_on('trace_both', 'does(aside.event)', max_attempts => 1);
SELECT async_event_pause('trace_both');
SELECT count(async_event_emit('trace_both', p)) FROM (VALUES
    (1, '"first"'::jsonb),
    (2, '{"run": "SET search_path = aside"}'), (3, '{"run": "SET work_mem = ''77kB''"}'), (4, '{"run": "SET aside_test.x = ''x''"}'),
    (5, '{"run": "SET ROLE regress_aside_plain"}'), (6, '{"run": "SET default_transaction_read_only = on"}'),
    (7, '{"run": "CREATE TEMP TABLE trace_temp (n int)"}'), (8, '{"run": "SELECT pg_advisory_lock(77)"}'),
    (9, '{"run": "PREPARE trace_p AS SELECT 1"}'), (10, '"after"'),
    (11, '{"run": "SET SESSION AUTHORIZATION regress_aside_plain"}'), (12, '"after a session authorization"'),
    (13, '{"run": "SET search_path = aside; SET ROLE regress_aside_plain; SET aside_test.x = ''y''; CREATE TEMP TABLE trace_temp (n int); SELECT pg_advisory_lock(77); SELECT 1 / 0"}'),
    (14, '"after an error"'), (15, '{"run": "CREATE TEMP TABLE trace_temp (n int); INSERT INTO trace_temp VALUES (1)"}'), (16, '{"run": "CREATE TEMP TABLE trace_temp (n int)"}'),
    (17, '"last"')) v (n, p);
SELECT async_event_resume('trace_both');
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT what FROM told ORDER BY n;
SELECT payload, state, sqlstate FROM aside.events WHERE channel = 'trace_both' AND state <> 'done' ORDER BY id;
-- one after the other
TRUNCATE told;
SELECT async_event_emit('trace', '"SET search_path = aside; SET ROLE regress_aside_plain; SET aside_test.x = ''y''; CREATE TEMP TABLE trace_temp (n int); SELECT pg_advisory_lock(77)"') > 0;
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT async_event_emit('trace_look', '"alone"') > 0;
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT what FROM told ORDER BY n;

-- no transaction control
TRUNCATE told;
SELECT async_event_emit('trace', '"COMMIT"') > 0, async_event_emit('trace', '"DO $x$ BEGIN INSERT INTO told (what) VALUES (''x''); COMMIT; END $x$"') > 0;
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT what FROM told ORDER BY n;
SELECT sqlstate, payload FROM aside.dead_events WHERE handler = 'trace';
CREATE FUNCTION commits(e aside.event) RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO told (what) VALUES ('committed early'); COMMIT; END $$;
CREATE PROCEDURE commits(e jsonb) LANGUAGE plpgsql AS $$ BEGIN INSERT INTO told (what) VALUES ('committed early'); COMMIT; END $$;
CREATE PROCEDURE rolls_back(e jsonb) LANGUAGE plpgsql AS $$ BEGIN INSERT INTO told (what) VALUES ('rolled back'); ROLLBACK; END $$;
SELECT async_event_on('trace_c', 'commits(aside.event)', max_attempts => 1, name => 'trace_c1'),
    async_event_on('trace_c', command => 'CALL commits($1)', max_attempts => 1, name => 'trace_c2'), async_event_on('trace_c', command => 'CALL rolls_back($1)', max_attempts => 1, name => 'trace_c3'),
    async_event_on('trace_c', command => 'ROLLBACK', max_attempts => 1, name => 'trace_c4'), async_event_on('trace_c', command => 'SAVEPOINT s', max_attempts => 1, name => 'trace_c5');
SELECT async_event_emit('trace_c') > 0;
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT handler, sqlstate FROM aside.dead_events WHERE channel = 'trace_c' ORDER BY handler;
SELECT count(*) FROM told WHERE what ~ 'committed|rolled';

-- its process ends: an attempt like another, and others go on
TRUNCATE told;
CREATE FUNCTION ends(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO told (what, attempt) VALUES (e.payload #>> '{}', e.attempt);
    IF e.payload = '"always"' OR e.payload = '"once"' AND e.attempt = 1 THEN
        PERFORM pg_terminate_backend(pg_backend_pid());
        PERFORM pg_sleep(10);
    END IF;
END $$;
SELECT async_event_on('trace_e', 'ends(aside.event)', max_attempts => 2, backoff => '0');
SELECT async_event_pause('trace_e');
SELECT async_event_emit('trace_e', '"before"') > 0, async_event_emit('trace_e', '"once"') > 0, async_event_emit('trace_e', '"between"') > 0, async_event_emit('trace_e', '"always"') > 0, async_event_emit('trace_e', '"after"') > 0;
SELECT async_event_resume('trace_e');
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT what, attempt, count(*) FROM told GROUP BY what, attempt ORDER BY what;
SELECT payload, attempts, sqlstate, message FROM aside.dead_events WHERE handler = 'trace_e';
SELECT e.payload, r.attempt, r.state, r.sqlstate FROM aside.event_runs r JOIN aside.events e ON e.id = r.event WHERE r.handler = 'trace_e' AND e.payload IN ('"once"', '"always"') ORDER BY e.id, r.attempt;
-- somebody cancels it
TRUNCATE told;
CREATE FUNCTION sleeps(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(78);
    IF e.attempt = 1 THEN PERFORM pg_sleep(60); END IF;
    INSERT INTO told (what, attempt) VALUES ('slept', e.attempt);
END $$;
SELECT async_event_on('trace_s', 'sleeps(aside.event)', backoff => '0');
SELECT async_event_emit('trace_s') AS e \gset
CALL until('EXISTS (SELECT FROM pg_locks WHERE locktype = ''advisory'' AND objid = 78 AND granted)');
SELECT state FROM aside.events WHERE id = :e;
SELECT count(*), count(query) FILTER (WHERE query = 'event handler trace_s') AS named FROM pg_stat_activity WHERE pid = (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = 78);
SELECT pg_cancel_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = 78;
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT what, attempt FROM told;
SELECT attempt, state, sqlstate FROM aside.event_runs WHERE event = :e ORDER BY attempt;
-- the coordinator ends: another one comes, and goes on
TRUNCATE told;
SELECT async_event_emit('trace_look', '"before"', delay => '500 ms') > 0;
SELECT pid AS coordinator FROM aside.coordinators WHERE database = current_database() \gset
SELECT pg_terminate_backend(:coordinator, 5000);
SELECT async_event_emit('trace_look', '"after"') > 0;
CALL until('(SELECT count(*) FROM told) = 2');
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT split_part(what, ':', 1) AS what, attempt FROM told ORDER BY what;
SELECT state, pid <> :coordinator AS another FROM aside.coordinators WHERE database = current_database();

SELECT count(async_event_off(name)) FROM aside.handlers WHERE channel ~ '^trace';
DROP VIEW todo;
DROP TABLE told;
DROP FUNCTION runs, looks, does, commits, ends, sleeps;
DROP PROCEDURE commits, rolls_back;
\c - postgres
DROP ROLE regress_aside_super, regress_aside_plain;
