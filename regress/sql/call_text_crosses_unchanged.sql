-- Claim: what crosses as text is the same value on the other side, whatever either
-- side has set; aside_dblink reads it as dblink does, by the remote's settings.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION aside_dblink;
CREATE DATABASE regress_aside_db;
RESET client_min_messages;
CREATE TYPE moment AS (d date, i interval, f float8);
CREATE DOMAIN day AS date;
CREATE TABLE regress_here (a int);

-- aside_dblink: a date, an interval and what else a setting shapes, written by the remote
SELECT dblink_connect('c', '');
SET datestyle = 'ISO, MDY';
SELECT dblink_exec('c', 'SET datestyle = GERMAN');
SELECT * FROM dblink('c', 'SELECT ''01.02.2026''::text, date ''2026-02-01'', timestamp ''2026-02-01 10:00''') AS t(a date, b date, c timestamp);
SELECT * FROM dblink('c', 'SELECT date ''2026-02-01'', ARRAY[date ''2026-02-03'']') AS t(shown text, a date[]);
SELECT dblink_send_query('c', 'SELECT ''01.02.2026''::text');
SELECT * FROM dblink_get_result('c') AS t(a date);
SELECT * FROM dblink_get_result('c') AS t(a date);
SELECT dblink_exec('c', 'SET datestyle = ''SQL, DMY'''), dblink_exec('c', 'SET intervalstyle = sql_standard'),
    dblink_exec('c', 'SET extra_float_digits = -3'), dblink_exec('c', 'SET bytea_output = escape');
SELECT dblink_open('c', 'cur', 'SELECT ''01/02/2026'', interval ''-1 day -2 hours'', ''\x00ff''::bytea, 1.1::float8');
SELECT * FROM dblink_fetch('c', 'cur', 1) AS t(a date, b interval, c bytea, d float8);
SELECT dblink_close('c', 'cur');
-- the caller's own settings are nothing to it, and are as they were
SET datestyle = 'SQL, MDY'; SET intervalstyle = iso_8601;
SELECT * FROM dblink('c', 'SELECT ''01/02/2026'', interval ''-1 day -2 hours''') AS t(a date, b interval);
SELECT * FROM dblink('c', 'SELECT ''no date''') AS t(a date);
SHOW datestyle; SHOW intervalstyle;
-- a type that only the remote transaction knows
SELECT dblink_exec('c', 'BEGIN'), dblink_exec('c', 'CREATE TYPE regress_mood AS ENUM (''sad'')');
SELECT * FROM dblink('c', 'SELECT ''sad''::regress_mood, ROW(1, ''x'')') AS t(a text, b text);
SELECT dblink_exec('c', 'ROLLBACK'), dblink_disconnect('c');

-- results of sessions and tasks: types of the database
SET datestyle = 'SQL, DMY'; SET intervalstyle = sql_standard; SET extra_float_digits = -10;
SELECT autonomous_session_open('s');
SELECT autonomous_session_exec('s', 'SET datestyle = GERMAN'), autonomous_session_exec('s', 'SET intervalstyle = postgres_verbose');
SELECT autonomous_session_send('s', $$SELECT ROW('2026-02-01', '-1 day -2:00', 1.0::float8/3)::moment, '2026-02-01'::day, ARRAY['2026-02-01'::day]$$);
SELECT (m).d, (m).i, (m).f = 1.0::float8/3 AS exact, d, ds FROM autonomous_session_result('s') AS t(m moment, d day, ds day[]);
SELECT autonomous_session_exec('s', 'BEGIN'), autonomous_session_exec('s', 'CREATE TYPE regress_mood AS ENUM (''sad'')');
SELECT autonomous_session_send('s', 'SELECT ''sad''::regress_mood');
SELECT * FROM autonomous_session_result('s') AS t(m text);
SELECT autonomous_session_close('s');
SELECT (m).d, (m).i, (m).f = 1.0::float8/3 AS exact, d
FROM async_result(async_exec($$SELECT ROW('2026-02-01', '-1 day -2:00', 1.0::float8/3)::moment, '2026-02-01'::day$$)) AS t(m moment, d date);
SELECT async_exec($$SELECT ROW('2026-02-01', '1 day', 2)::moment$$) AS task \gset
SELECT async_wait(:task);
ALTER TYPE moment ALTER ATTRIBUTE f TYPE text;
SELECT m FROM async_result(:task) AS t(m moment);

-- sessions in another database: columns, arguments, names of objects
SELECT autonomous_session_open('far', 'regress_aside_db');
SELECT autonomous_session_exec('far', 'CREATE TYPE moment AS (d date, i interval, f float8)'), autonomous_session_exec('far', 'CREATE DOMAIN day AS date'),
    autonomous_session_exec('far', 'CREATE TABLE regress_there (a int)'), autonomous_session_exec('far', 'CREATE TABLE regress_here (a int)');
SELECT autonomous_session_exec('far', 'SET datestyle = GERMAN'), autonomous_session_exec('far', 'SET intervalstyle = sql_standard');
SELECT (m).d, (m).i, d FROM autonomous_session_query('far', $$SELECT ROW('2026-02-01', '-1 day -2:00', 1)::moment, '2026-02-01'::day$$) AS t(m moment, d day);
SELECT a, b FROM autonomous_session_query('far', 'SELECT ($1::moment).d = ''2026-02-01'', ($1::moment).i = ''-1 day -2:00''', ROW('2026-02-01', '-1 day -2:00', 1)::moment) AS t(a boolean, b boolean);
SELECT a = 'regress_here'::regclass AS this_one, b FROM autonomous_session_query('far', 'SELECT ''regress_here''::regclass, ''regress_there''::regclass') AS t(a regclass, b text);
SELECT * FROM autonomous_session_query('far', 'SELECT ''regress_there''::regclass') AS t(a regclass);
SELECT * FROM autonomous_session_query('far', 'SELECT $1 = ''regress_here''::regclass', 'regress_here'::regclass) AS t(its_own boolean);
SELECT autonomous_session_close('far');

DROP DATABASE regress_aside_db;
DROP TABLE regress_here;
DROP DOMAIN day;
DROP TYPE moment;
DROP EXTENSION aside_dblink;
