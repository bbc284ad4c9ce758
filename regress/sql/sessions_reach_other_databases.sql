-- Claim: a session may be in another database that its user may connect to: it acts
-- there as the same user with the same settings; values of the server's own types
-- cross as they are, others as their text; a database dropped by force takes its
-- sessions along.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE ROLE regress_aside_member IN ROLE aside_user;
RESET client_min_messages;
CREATE DATABASE regress_aside_db;
CREATE DATABASE regress_aside_latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0;
CREATE FUNCTION try(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text; hint text; r text;
BEGIN
    EXECUTE call INTO r;
    RETURN coalesce(r, 'NULL');
EXCEPTION WHEN query_canceled OR OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(detail, ''), nullif(hint, ''));
END
$$;

SET regress.x = 'caller';
SELECT autonomous_session_open('far', 'regress_aside_db');
SELECT d, u = current_user AS same_user, x FROM autonomous_session_query('far', 'SELECT current_database(), current_user, current_setting(''regress.x'')') AS (d name, u name, x text);
SELECT session, database, state FROM autonomous_sessions();
-- the extension need not be there
\set VERBOSITY terse
SELECT autonomous_session_exec('far', 'SELECT autonomous_exec(''SELECT 1'')');
\set VERBOSITY default
-- transactions, temporary tables, send and result as anywhere
SELECT autonomous_session_exec('far', 'BEGIN'), autonomous_session_exec('far', 'CREATE TABLE regress_far (a int PRIMARY KEY, b text)');
SELECT autonomous_session_exec('far', 'INSERT INTO regress_far VALUES ($1, $2), ($3, NULL)', 1, 'one'::text, 2), autonomous_session_exec('far', 'COMMIT');
SELECT to_regclass('regress_far') IS NULL AS not_here;
SELECT autonomous_session_send('far', 'SELECT a, b FROM regress_far; SELECT count(*) FROM regress_far');
SELECT * FROM autonomous_session_result('far') AS (a int, b text);
SELECT * FROM autonomous_session_result('far') AS (n bigint);
SELECT * FROM autonomous_session_result('far') AS (n bigint);
SELECT autonomous_session_exec('far', 'INSERT INTO regress_far VALUES (1)');
SELECT autonomous_session_exec('far', 'LISTEN regress_a'), autonomous_session_exec('far', 'NOTIFY regress_a, ''there''');
NOTIFY regress_a, 'here';
SELECT channel, payload FROM autonomous_session_notifications('far');

-- columns: the server's types by value, the caller's own by text
SELECT autonomous_session_exec('far', 'CREATE TYPE mood AS ENUM (''bad'', ''ok''); CREATE TYPE pair AS (x int, y text); CREATE DOMAIN small AS int CHECK (VALUE < 10)');
CREATE TYPE mood AS ENUM ('fine', 'ok');
CREATE TYPE pair AS (x text, y text);
CREATE DOMAIN small AS int CHECK (VALUE < 5);
SELECT a, b, c, d FROM autonomous_session_query('far', 'SELECT 1.5, ARRAY[1,2], date ''2020-01-01'', NULL::text') AS (a numeric, b int[], c date, d text);
SELECT m, (p).x, (p).y, s FROM autonomous_session_query('far', 'SELECT ''ok''::mood, ROW(7, ''a b'')::pair, 3::small') AS (m mood, p pair, s small);
SELECT m, s FROM autonomous_session_query('far', 'SELECT ''ok'', 4') AS (m mood, s small);
SELECT m, t FROM autonomous_session_query('far', 'SELECT ''bad''::mood, ''ok''::mood') AS (m text, t text);
SELECT ms FROM autonomous_session_query('far', 'SELECT ARRAY[''ok''::mood, NULL]') AS (ms mood[]);
SELECT try($$SELECT m FROM autonomous_session_query('far', 'SELECT ''bad''::mood') AS (m mood)$$);
SELECT try($$SELECT s FROM autonomous_session_query('far', 'SELECT 7::small') AS (s small)$$);
SELECT try($$SELECT a FROM autonomous_session_query('far', 'SELECT ''x''::mood::text') AS (a int)$$);
SELECT autonomous_session_send('far', 'SELECT ''ok''::mood, ROW(7, ''a b'')::pair; SELECT ''bad''::mood');
SELECT m, (p).y FROM autonomous_session_result('far') AS (m mood, p pair);
SELECT m FROM autonomous_session_result('far') AS (m text);
-- arguments likewise
SELECT * FROM autonomous_session_query('far', 'SELECT $1 + 1, $2[2], $3, $4 IS NULL, pg_typeof($5)', 1.5, ARRAY['a', 'b'], now() = now(), NULL::date, 'x'::text) AS (a numeric, b text, c boolean, d boolean, t regtype);
SELECT * FROM autonomous_session_query('far', 'SELECT $1::mood, $2::pair, $3::small, $4::mood IS NULL', 'ok'::mood, ROW('5', 'y')::pair, 4::small, NULL::mood) AS (m text, p text, s int, n boolean);
SELECT try($$SELECT autonomous_session_exec('far', 'SELECT $1::mood', 'fine'::mood)$$);
SELECT try($$SELECT autonomous_session_exec('far', 'SELECT $1::pair', ROW('no number', 'y')::pair)$$);
SELECT autonomous_session_close('far');

-- who may: not without CONNECT, nor into what is not there, is not open to anyone, or has another encoding
SELECT try($$SELECT autonomous_session_open('s', 'regress_aside_none')$$);
SELECT try($$SELECT autonomous_session_open('s', NULL) IS NULL$$) AS null_is_this_one;
SELECT database = current_database() AS here FROM autonomous_sessions();
SELECT autonomous_session_close('s');
SELECT try($$SELECT autonomous_session_open('s', 'regress_aside_latin')$$) LIKE '0A000 | %another encoding | Its encoding is LATIN1%' AS refused;
SELECT split_part(try($$SELECT autonomous_session_open('s', 'template0')$$), ' | ', 1);
-- a template, which somebody may want to copy, and what the administrator does not allow
ALTER DATABASE regress_aside_db IS_TEMPLATE true;
SELECT try($$SELECT autonomous_session_open('s', 'regress_aside_db')$$);
ALTER DATABASE regress_aside_db IS_TEMPLATE false;
SET aside.allow_databases = 'regress_aside_other, "Regress"';
SELECT try($$SELECT autonomous_session_open('s', 'regress_aside_db')$$);
SET aside.allow_databases = '';
SELECT try($$SELECT autonomous_session_open('s', 'regress_aside_db')$$);
SELECT try($$SELECT autonomous_session_open('s')$$), try($$SELECT autonomous_session_close('s')$$);
SET aside.allow_databases = 'regress_aside_other, regress_aside_db';
SELECT try($$SELECT autonomous_session_open('s', 'regress_aside_db')$$), try($$SELECT autonomous_session_close('s')$$);
RESET aside.allow_databases;
SET SESSION AUTHORIZATION regress_aside_member;
SELECT try('SET aside.allow_databases = ''*''');
RESET SESSION AUTHORIZATION;
SET ROLE regress_aside_member;
SELECT autonomous_session_open('of the role', 'regress_aside_db');
RESET ROLE;
REVOKE CONNECT ON DATABASE regress_aside_db FROM PUBLIC;
SET ROLE regress_aside_member;
SELECT autonomous_session_exec('of the role', 'SELECT 1') AS was_there_before;
SELECT try($$SELECT autonomous_session_open('s', 'regress_aside_db')$$);
SELECT autonomous_session_close('of the role');
SELECT try($$SELECT autonomous_session_open('s', 'regress_aside_db')$$);
RESET ROLE;
SET SESSION AUTHORIZATION regress_aside_member;
SELECT try($$SELECT autonomous_session_open('s', 'regress_aside_db')$$);
RESET SESSION AUTHORIZATION;
GRANT CONNECT ON DATABASE regress_aside_db TO regress_aside_member;
SET SESSION AUTHORIZATION regress_aside_member;
SELECT autonomous_session_open('s', 'regress_aside_db');
SELECT * FROM autonomous_session_query('s', 'SELECT current_database()') AS (d text);
SELECT autonomous_session_close('s');
RESET SESSION AUTHORIZATION;
SELECT count(*) FROM autonomous_sessions();

-- settings of the other database are not asked: the caller's come along
ALTER DATABASE regress_aside_db SET work_mem = '3MB';
SET work_mem = '5MB';
SELECT autonomous_session_open('far', 'regress_aside_db');
SELECT * FROM autonomous_session_query('far', 'SHOW work_mem') AS (a text);
RESET work_mem;
-- locks of the cluster are shared: what the session holds, a single call waits for
SELECT autonomous_session_exec('far', 'SELECT pg_advisory_lock(4242)');
SELECT pg_try_advisory_lock(4242) AS free_for_each_database, pg_advisory_unlock(4242);
SELECT autonomous_session_exec('far', 'BEGIN; COMMENT ON ROLE regress_aside_member IS ''far''');
SELECT try($$SELECT autonomous_exec('COMMENT ON ROLE regress_aside_member IS ''call''')$$) LIKE '40P01%' AS deadlock;
SELECT autonomous_session_exec('far', 'ROLLBACK');
-- dropped by force
SELECT autonomous_session_exec('far', 'BEGIN');
DROP DATABASE regress_aside_db WITH (FORCE);
SELECT try($$SELECT autonomous_session_exec('far', 'SELECT 1')$$);
SELECT try($$SELECT autonomous_session_open('far', 'regress_aside_db')$$);
SELECT count(*) FROM autonomous_sessions();
DROP DATABASE regress_aside_latin;
DROP FUNCTION try(text);
DROP TYPE mood, pair, small;
DROP ROLE regress_aside_member;
