-- Claim: an event is part of the transaction that emits it: rolled back, it
-- never was; committed, each handler of its channel handles it, once.
\set SHOW_CONTEXT never
CREATE TABLE told (n serial, handler text, what text);
SELECT async_event_on('emit', command => 'INSERT INTO public.told (handler, what) VALUES (''1'', $1 #>> ''{}'')', name => 'emit_1'),
    async_event_on('emit', command => 'INSERT INTO public.told (handler, what) VALUES (''2'', $1 #>> ''{}'')', name => 'emit_2');
CREATE VIEW todo AS SELECT FROM aside.events WHERE channel = 'emit' AND state IN ('waiting', 'running', 'retrying', 'delayed');
-- ids rise
SELECT async_event_emit('emit', '"a"') < async_event_emit('emit', '"b"') AS rise;
-- rolled back
BEGIN;
SELECT async_event_emit('emit', '"rolled back"') AS e \gset
-- it is there, for the transaction itself
SELECT payload, state FROM aside.events WHERE id = :e ORDER BY handler;
ROLLBACK;
SELECT count(*) FROM aside.events WHERE id = :e;
-- a part of it rolled back
BEGIN;
SELECT async_event_emit('emit', '"before"') > 0;
SAVEPOINT s;
SELECT async_event_emit('emit', '"within"') > 0;
ROLLBACK TO s;
SELECT async_event_emit('emit', '"after"') > 0;
SAVEPOINT s2;
SELECT async_event_emit('emit', '"released"') > 0;
RELEASE s2;
DO $$
BEGIN
    PERFORM async_event_emit('emit', '"block"');
    BEGIN
        PERFORM async_event_emit('emit', '"handled exception"');
        PERFORM 1 / 0;
    EXCEPTION WHEN division_by_zero THEN
        PERFORM async_event_emit('emit', '"handler of the exception"');
    END;
END $$;
-- not before the commit
SELECT autonomous_exec('CALL events_pass()');
SELECT count(*) FROM told WHERE what <> 'a' AND what <> 'b';
COMMIT;
-- an error rolls back
SELECT async_event_emit('emit', '"error"'), 1 / 0;
-- as does a deferred constraint
CREATE TABLE one (n int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED);
INSERT INTO one VALUES (1);
BEGIN;
SELECT async_event_emit('emit', '"deferred error"') > 0;
INSERT INTO one VALUES (1);
COMMIT;
-- emitted while committing
CREATE FUNCTION on_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM async_event_emit('emit', '"while committing"'); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER t AFTER INSERT ON one DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION on_commit();
INSERT INTO one VALUES (2);
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT what, array_agg(handler ORDER BY handler) FROM told GROUP BY what ORDER BY min(n);
SELECT count(*), count(DISTINCT id) FROM aside.events WHERE channel = 'emit' AND state = 'done';

-- prepared transactions
TRUNCATE told;
BEGIN;
SELECT async_event_emit('emit', '"prepared"') > 0;
PREPARE TRANSACTION 'regress_aside_1';
BEGIN;
SELECT async_event_emit('emit', '"prepared and rolled back"') > 0;
PREPARE TRANSACTION 'regress_aside_2';
SELECT async_event_emit('emit', '"meanwhile"') > 0;
CALL until('(SELECT count(*) FROM told) = 2');
\c -
ROLLBACK PREPARED 'regress_aside_2';
COMMIT PREPARED 'regress_aside_1';
CALL until('(SELECT count(*) FROM told) = 4');
SELECT what, count(*) FROM told GROUP BY what ORDER BY min(n);
-- of a handler too
BEGIN;
SELECT async_event_on('emit_p', command => 'INSERT INTO public.told (what) VALUES ($1 #>> ''{}'')');
SELECT async_event_emit('emit_p', '"of a prepared handler"') > 0;
PREPARE TRANSACTION 'regress_aside_1';
COMMIT PREPARED 'regress_aside_1';
CALL until('(SELECT count(*) FROM told) = 5');
SELECT what FROM told ORDER BY n DESC LIMIT 1;
SELECT async_event_off('emit_p');

-- transactions that end out of turn
TRUNCATE told;
SELECT autonomous_session_open('s1'), autonomous_session_open('s2');
SELECT autonomous_session_exec('s1', 'BEGIN'), autonomous_session_exec('s2', 'BEGIN');
SELECT autonomous_session_exec('s1', $$SELECT async_event_emit('emit', '"first emitted"')$$);
SELECT autonomous_session_exec('s2', $$SELECT async_event_emit('emit', '"first committed"')$$);
SELECT autonomous_session_exec('s2', 'COMMIT');
CALL until('(SELECT count(*) FROM told) = 2');
SELECT autonomous_session_exec('s2', $$SELECT async_event_emit('emit', '"in between"')$$);
CALL until('(SELECT count(*) FROM told) = 4');
SELECT autonomous_session_exec('s1', 'COMMIT');
CALL until('(SELECT count(*) FROM told) = 6');
SELECT what, count(*) FROM told GROUP BY what ORDER BY min(n);
SELECT autonomous_session_close('s1'), autonomous_session_close('s2');

-- from a trigger, from a large transaction, from many small ones
TRUNCATE told;
CREATE TABLE source (n int);
CREATE FUNCTION emits() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM async_event_emit('emit', to_jsonb(new.n)); RETURN NULL; END $$;
CREATE TRIGGER t AFTER INSERT ON source FOR EACH ROW EXECUTE FUNCTION emits();
INSERT INTO source SELECT generate_series(1, 1000);
DO $$ BEGIN FOR i IN 1001..1300 LOOP INSERT INTO source VALUES (i); COMMIT; END LOOP; END $$;
DO $$ BEGIN FOR i IN 1301..1600 LOOP BEGIN INSERT INTO source VALUES (i); PERFORM 1 / (i % 3); EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END $$;
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT handler, count(*), count(DISTINCT what), sum(what::int) FROM told GROUP BY handler ORDER BY handler;
SELECT count(*), sum(n) FROM source;

-- handlers get what was emitted since they are there
TRUNCATE told;
SELECT async_event_off('emit_1'), async_event_off('emit_2');
SELECT async_event_emit('emit', '"nobody listens"') > 0;
BEGIN;
SELECT async_event_emit('emit', '"before, in the same transaction"') > 0;
SELECT async_event_on('emit', command => 'INSERT INTO public.told (handler, what) VALUES (''3'', $1 #>> ''{}'')', name => 'emit_3');
SELECT async_event_emit('emit', '"after, in the same transaction"') > 0;
COMMIT;
SELECT async_event_emit('emit', '"after"') > 0;
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT handler, what FROM told ORDER BY n;

-- not while recovering, reading only, or within a security-restricted operation
SET default_transaction_read_only = on;
\set VERBOSITY sqlstate
SELECT async_event_emit('emit');
SELECT async_event_on('emit', command => 'SELECT 1', name => 'emit_r');
SELECT async_event_off('emit_3');
\set VERBOSITY default
RESET default_transaction_read_only;
CREATE FUNCTION in_index(n int, what text) RETURNS int IMMUTABLE LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    EXECUTE what;
    RETURN n;
EXCEPTION WHEN OTHERS THEN
    RAISE INFO '% %', SQLSTATE, SQLERRM;
    RETURN n;
END $$;
CREATE TABLE t (n int);
INSERT INTO t VALUES (1);
CREATE INDEX i1 ON t (in_index(n, 'SELECT async_event_emit(''emit'')'));
DROP INDEX i1;
CREATE INDEX i1 ON t (in_index(n, 'SELECT async_event_on(''emit'', command => ''SELECT 1'', name => ''emit_r'')'));
DROP INDEX i1;
CREATE INDEX i1 ON t (in_index(n, 'SELECT async_event_off(''emit_3'')'));
CREATE INDEX i2 ON t (in_index(n, 'SELECT async_event_pause(''emit_3'')'));
CREATE INDEX i3 ON t (in_index(n, 'SELECT async_event_cancel(1)'));
CREATE INDEX i4 ON t (in_index(n, 'SELECT async_event_redrive(''emit_3'')'));
SELECT async_event_off('emit_3');
SELECT count(*) FROM aside.handlers WHERE channel ~ '^emit';
DROP VIEW todo;
DROP TABLE told, one, source, t;
DROP FUNCTION on_commit, emits, in_index;
