-- Claim: the coordinator of a database comes with the extension and goes with
-- it, is in nobody's way, and what a database sets for its sessions does not
-- keep events from being handled.
\set SHOW_CONTEXT never
\set main :DBNAME
SELECT aside.events_ready();
CREATE DATABASE regress_aside_events;
\c regress_aside_events
\getenv regress PG_ABS_SRCDIR
\set setup :regress '/sql/test_setup.sql'
\set ECHO none
\i :setup
\set ECHO all
-- without the extension, nothing; with it, at once
SET client_min_messages = warning;
CREATE EXTENSION pg_aside;
RESET client_min_messages;
CREATE VIEW here AS SELECT state, pid, failures FROM aside.coordinators WHERE database = current_database();
CALL until('(SELECT state = ''running'' FROM here)');
CREATE TABLE told (n serial, what text);
CREATE VIEW todo AS SELECT FROM aside.events WHERE channel ~ '^db' AND state IN ('waiting', 'running', 'retrying', 'delayed');
SELECT async_event_on('db', command => 'INSERT INTO public.told (what) VALUES ($1 #>> ''{}'')');
SELECT async_event_emit('db', '"first"') > 0;
CALL until('(SELECT count(*) FROM told) = 1');
-- the extension made again, before anybody noticed: handlers of the same numbers, but others
DROP VIEW here, todo;
DROP EXTENSION pg_aside;
SET client_min_messages = warning;
CREATE EXTENSION pg_aside;
RESET client_min_messages;
CREATE VIEW here AS SELECT state, pid, failures FROM aside.coordinators WHERE database = current_database();
CREATE VIEW todo AS SELECT FROM aside.events WHERE channel ~ '^db' AND state IN ('waiting', 'running', 'retrying', 'delayed');
SELECT async_event_on('db_other', command => 'INSERT INTO public.told (what) VALUES (''made again: '' || ($1 #>> ''{}''))');
SELECT async_event_emit('db', '"nobody''s"') > 0, async_event_emit('db_other', '"second"') > 0;
CALL until('(SELECT count(*) FROM told) = 2');
SELECT what FROM told ORDER BY n;
-- a CREATE EXTENSION that is rolled back
DROP VIEW here, todo;
DROP EXTENSION pg_aside;
SET client_min_messages = warning;
BEGIN;
CREATE EXTENSION pg_aside;
ROLLBACK;
\c :main
CALL until('(SELECT state <> ''running'' FROM aside.coordinators WHERE database = ''regress_aside_events'')');
SELECT state FROM aside.coordinators WHERE database = 'regress_aside_events';
\c regress_aside_events
SET client_min_messages = warning;
CREATE EXTENSION pg_aside;
RESET client_min_messages;
CREATE VIEW here AS SELECT state, pid, failures FROM aside.coordinators WHERE database = current_database();
CREATE VIEW todo AS SELECT FROM aside.events WHERE channel ~ '^db' AND state IN ('waiting', 'running', 'retrying', 'delayed');
-- it stays for as long as there is a handler
SELECT async_event_on('stays', command => 'SELECT 1');
SELECT async_event_emit('stays') > 0;
CALL until('EXISTS (SELECT FROM aside.events WHERE channel = ''stays'' AND state = ''done'')');
CALL until('(SELECT state = ''running'' FROM here)');
TRUNCATE told;

-- settings of the database: no writing, strict isolation, another encoding, no search path, no time for locks
ALTER DATABASE regress_aside_events SET default_transaction_read_only = on;
ALTER DATABASE regress_aside_events SET default_transaction_isolation = 'serializable';
ALTER DATABASE regress_aside_events SET client_encoding = 'LATIN1';
ALTER DATABASE regress_aside_events SET search_path = '';
ALTER DATABASE regress_aside_events SET statement_timeout = '1 ms';
ALTER DATABASE regress_aside_events SET lock_timeout = '1 ms';
-- before 19, which has the standard's literals only
DO $$BEGIN ALTER DATABASE regress_aside_events SET standard_conforming_strings = off; EXCEPTION WHEN feature_not_supported THEN END$$;
ALTER DATABASE regress_aside_events SET quote_all_identifiers = on;
ALTER DATABASE regress_aside_events SET intervalstyle = 'sql_standard';
ALTER DATABASE regress_aside_events SET datestyle = 'German';
ALTER DATABASE regress_aside_events SET timezone = 'Asia/Tokyo';
ALTER DATABASE regress_aside_events SET row_security = off;
SET default_transaction_read_only = off;
SELECT pg_terminate_backend(pid, 5000) FROM here;
\c :main
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'regress_aside_events' AND backend_type = 'pg_aside worker';
\c regress_aside_events
SET default_transaction_read_only = off;
SET statement_timeout = 0;
SET lock_timeout = 0;
SET search_path = public;
SET client_encoding = 'UTF8';
CALL until('(SELECT state = ''running'' FROM here)');
-- the handler's session is as the database says, so it says otherwise
CREATE FUNCTION tells(t text) RETURNS void LANGUAGE sql SET search_path = public AS $$ INSERT INTO told (what) VALUES (t || ' ' || current_setting('timezone')) $$;
SELECT async_event_on('db', 'tells(text)', backoff => '123 ms', max_attempts => 2, timeout => '1 min');
-- it writes all the same
SELECT async_event_emit('db', '"read only"') > 0;
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT count(*) AS dead FROM aside.dead_events WHERE handler = 'db';
ALTER DATABASE regress_aside_events RESET default_transaction_read_only;
\c :main
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'regress_aside_events' AND backend_type = 'pg_aside worker';
\c regress_aside_events
SET statement_timeout = 0;
SET lock_timeout = 0;
SET search_path = public;
SET client_encoding = 'UTF8';
NOTIFY db, 'notified: äöü €';
SELECT async_event_emit('db', '"emitted: äöü €"', delay => '100 ms') > 0;
CALL until('(SELECT count(*) FROM told) = 3');
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT what FROM told ORDER BY what COLLATE "C";
SELECT async_event_off('db');
ALTER DATABASE regress_aside_events RESET ALL;
\c regress_aside_events
SELECT async_event_on('db', command => 'INSERT INTO public.told (what) VALUES ($1 #>> ''{}'')');
TRUNCATE told;
SELECT async_event_emit('db', '"waits"', delay => '1 hour') > 0;

-- copied, while a coordinator is in it and a worker idles in it; the copy's own comes by itself
SELECT async_event_emit('db', '"handled"') > 0;
CALL until('(SELECT count(*) FROM told) = 1');
\c :main
CREATE DATABASE regress_aside_events_2 TEMPLATE regress_aside_events;
\c regress_aside_events_2
SELECT payload, state FROM aside.events WHERE channel = 'db' AND handler IS NOT NULL AND state <> 'done' ORDER BY id;
CALL until('(SELECT state = ''running'' FROM here)');
SELECT async_event_emit('db', '"in the copy"') > 0;
CALL until('(SELECT count(*) FROM told) = 2');
SELECT what FROM told ORDER BY n;
-- renamed, moved, dropped: at once
\c :main
ALTER DATABASE regress_aside_events_2 RENAME TO regress_aside_events_3;
DROP DATABASE regress_aside_events_3;
CALL until('(SELECT state = ''running'' FROM aside.coordinators WHERE database = ''regress_aside_events'')');
DROP DATABASE regress_aside_events;
-- dropped at once after CREATE EXTENSION
CREATE DATABASE regress_aside_events;
\c regress_aside_events
SET client_min_messages = warning;
CREATE EXTENSION pg_aside;
\c :main
DROP DATABASE regress_aside_events;
-- without permission nobody leaves
CREATE ROLE regress_aside_nobody;
SET ROLE regress_aside_nobody;
SELECT current_database() AS db \gset
\set VERBOSITY sqlstate
ALTER DATABASE :db RENAME TO other;
\set VERBOSITY default
RESET ROLE;
DROP ROLE regress_aside_nobody;
CALL until('NOT EXISTS (SELECT FROM aside.coordinators WHERE database LIKE ''regress_aside%'' OR database IS NULL)');
SELECT count(*) FROM aside.coordinators WHERE database LIKE 'regress_aside%';
CALL until('(SELECT state = ''idle'' FROM aside.coordinators WHERE database = current_database())');
SELECT state FROM aside.coordinators WHERE database = current_database();
