-- Claim: the worker uses the caller's settings as they are at the call, custom
-- ones, SET LOCAL and function SET clauses included, also where they change
-- how a text parses; its own changes neither come back nor reach the next call.
\set VERBOSITY sqlstate
CREATE FUNCTION regress_there(name text) RETURNS text LANGUAGE sql AS
    $$SELECT v FROM autonomous_query('SELECT current_setting($1, true)', name) AS (v text)$$;

-- custom settings, set, local, undone, withdrawn
SELECT nullif(regress_there('app.user_id'), '') AS never_set;
SET app.user_id = '42';
SELECT regress_there('app.user_id');
BEGIN;
SET LOCAL app.user_id = '43';
SELECT regress_there('app.user_id') AS local;
SAVEPOINT s;
SET app.user_id = '44';
SELECT regress_there('app.user_id') AS changed;
ROLLBACK TO s;
SELECT regress_there('app.user_id') AS local_again;
ROLLBACK;
SELECT regress_there('app.user_id') AS session_again;
RESET app.user_id;
SELECT nullif(regress_there('app.user_id'), '') AS withdrawn;
SELECT set_config('app.user_id', E'it''s "odd", \\ $1\n{x} ', false) = regress_there('app.user_id') AS odd_text;
SELECT set_config('app.user_id', U&'\00e9\20ac', false) = regress_there('app.user_id') AS multibyte;
SELECT set_config('app.user_id', repeat('x', 100000), false) = regress_there('app.user_id') AS long;
SET app.user_id = '';
SELECT regress_there('app.user_id') = '' AS empty;
RESET app.user_id;
CREATE FUNCTION regress_with_set() RETURNS text LANGUAGE sql SET app.user_id = 'of the function' SET work_mem = '7MB' AS
    $$SELECT regress_there('app.user_id') || ' ' || regress_there('work_mem')$$;
SELECT regress_with_set();
SELECT nullif(regress_there('app.user_id'), '') AS after_function, regress_there('work_mem') = current_setting('work_mem') AS same;

-- the server's own
SET work_mem = '3MB';
SET statement_timeout = '1h';
SET application_name = 'regress app';
SELECT regress_there('work_mem'), regress_there('application_name'), current_setting('statement_timeout');
RESET work_mem;
RESET statement_timeout;
SELECT regress_there('work_mem') = current_setting('work_mem') AS same;
RESET application_name;
SELECT regress_there('application_name') = current_setting('application_name') AS same;
-- all that a session can set and see is the same there
SET enable_seqscan = off;
SET plan_cache_mode = force_generic_plan;
SET search_path = pg_catalog, public;
SET lc_monetary = 'C';
SET xmlbinary = hex;
SELECT name FROM pg_settings h
JOIN autonomous_query('SELECT name, setting FROM pg_settings') AS w(name text, setting text) USING (name)
WHERE h.setting IS DISTINCT FROM w.setting AND h.context IN ('user', 'superuser')
  AND name NOT IN ('client_encoding', 'transaction_isolation', 'transaction_read_only', 'transaction_deferrable')
ORDER BY name COLLATE "C";
RESET ALL;
-- a superuser's setting stays with a session that took a lower role
CREATE ROLE regress_aside_low IN ROLE aside_user;
-- also one that names what is closed to that role
CREATE SCHEMA regress_closed;
CREATE TEXT SEARCH CONFIGURATION regress_closed.conf (COPY = simple);
SET default_text_search_config = 'regress_closed.conf';
SET ROLE regress_aside_low;
SELECT regress_there('default_text_search_config') = current_setting('default_text_search_config') AS same;
RESET ROLE;
RESET default_text_search_config;
DROP SCHEMA regress_closed CASCADE;
SET session_replication_role = replica;
SET ROLE regress_aside_low;
SELECT regress_there('session_replication_role');
RESET ROLE;
RESET session_replication_role;
SELECT regress_there('session_replication_role');

-- search_path
CREATE SCHEMA regress_one;
CREATE SCHEMA "regress, ""two""";
CREATE TABLE regress_one.t AS SELECT 'one' AS x;
CREATE TABLE "regress, ""two""".t AS SELECT 'two' AS x;
SET search_path = regress_one, public;
SELECT * FROM autonomous_query('SELECT x FROM t') AS (x text);
SET search_path = "regress, ""two""", public;
SELECT * FROM autonomous_query('SELECT x FROM t') AS (x text);
SET search_path = pg_temp, regress_one, public;
SELECT * FROM autonomous_query('SELECT x FROM t') AS (x text);
SELECT autonomous_exec('CREATE TABLE regress_not_temp ()');
SELECT to_regclass('regress_one.regress_not_temp') IS NOT NULL AS made_in_one;
-- where it is the last that is looked in, it is so there
SET search_path = regress_one, pg_temp;
SELECT * FROM public.autonomous_query('CREATE TEMP TABLE t AS SELECT ''temporary'' AS x; SELECT x FROM t') AS (x text);
RESET search_path;
SELECT autonomous_exec('SELECT x FROM t');

-- settings that change what a text means, the plans being cached by now
SET datestyle = 'ISO, MDY';
SELECT * FROM autonomous_query('SELECT to_char(date ''02/03/2024'', ''Mon DD'')') AS (d text);
SET datestyle = 'ISO, DMY';
SELECT * FROM autonomous_query('SELECT to_char(date ''02/03/2024'', ''Mon DD'')') AS (d text);
SELECT * FROM autonomous_query('SELECT $1::date - date ''2024-03-02''', '02/03/2024') AS (d int);
RESET datestyle;
SET timezone = 'UTC';
SELECT * FROM autonomous_query('SELECT extract(epoch FROM timestamptz ''2024-01-01 00:00'')::bigint') AS (e bigint);
SET timezone = 'America/New_York';
SELECT * FROM autonomous_query('SELECT extract(epoch FROM timestamptz ''2024-01-01 00:00'')::bigint') AS (e bigint);
BEGIN;
SET LOCAL timezone = 'Asia/Tokyo';
SELECT * FROM autonomous_query('SELECT extract(epoch FROM timestamptz ''2024-01-01 00:00'')::bigint') AS (e bigint);
ROLLBACK;
RESET timezone;
SELECT * FROM autonomous_query('SELECT 1 WHERE NULL::int = NULL') AS (x int);
SET transform_null_equals = on;
SELECT * FROM autonomous_query('SELECT 1 WHERE NULL::int = NULL') AS (x int);
RESET transform_null_equals;
SET intervalstyle = 'iso_8601';
SELECT * FROM autonomous_query('SELECT (interval ''1 day 2 hours'')::text') AS (x text);
RESET intervalstyle;
SET bytea_output = 'escape';
SELECT * FROM autonomous_query('SELECT ''\x4100''::bytea::text') AS (x text);
RESET bytea_output;
SET extra_float_digits = 0;
SELECT * FROM autonomous_query('SELECT (0.1::float8 + 0.2::float8)::text') AS (x text);
RESET extra_float_digits;
SET default_toast_compression = pglz;
SELECT regress_there('default_toast_compression');
RESET default_toast_compression;

-- changes in the worker do not come back and do not reach the next call
SET app.user_id = '42';
SELECT autonomous_exec('SET app.user_id = ''evil''; SET work_mem = ''9MB''; SET app.new_one = 1; SET search_path = pg_catalog; SET datestyle = ''German''; SET client_min_messages = error');
SELECT current_setting('app.user_id') AS here, current_setting('work_mem') <> '9MB' AS ok, nullif(current_setting('app.new_one', true), '') AS none_here;
SELECT regress_there('app.user_id') AS there, regress_there('work_mem') <> '9MB' AS ok, nullif(regress_there('app.new_one'), '') AS none_there,
       regress_there('search_path') = current_setting('search_path') AS path_ok, regress_there('datestyle') = current_setting('datestyle') AS style_ok;
SELECT autonomous_exec('SELECT set_config(''app.user_id'', ''evil'', false), set_config(''work_mem'', ''9MB'', false)');
SELECT regress_there('app.user_id') AS there, regress_there('work_mem') <> '9MB' AS ok;
SELECT autonomous_exec('SET app.user_id = ''evil''; SELECT 1/0');
SELECT regress_there('app.user_id') AS after_error;
SELECT autonomous_exec('RESET ALL');
SELECT regress_there('app.user_id') AS after_reset_all;
SELECT autonomous_exec('DISCARD ALL');
SELECT regress_there('app.user_id') AS after_discard_all, regress_there('timezone') = current_setting('timezone') AS zone_ok;
RESET app.user_id;

-- isolation and READ ONLY: the defaults, not the caller's transaction's own
CREATE TABLE regress_t (x int);
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE;
SELECT regress_there('transaction_isolation'), regress_there('transaction_read_only'), regress_there('transaction_deferrable');
SELECT autonomous_exec('INSERT INTO regress_t VALUES (1)');
COMMIT;
SET default_transaction_isolation = 'repeatable read';
SELECT regress_there('transaction_isolation');
RESET default_transaction_isolation;
SET default_transaction_read_only = on;
BEGIN READ WRITE;
SELECT autonomous_exec('INSERT INTO regress_t VALUES (2)');
ROLLBACK;
RESET default_transaction_read_only;
SELECT autonomous_exec('INSERT INTO regress_t VALUES (3)');
SELECT * FROM autonomous_query('SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SELECT current_setting(''transaction_isolation'')') AS (i text);
SELECT regress_there('transaction_isolation') AS next;
SELECT * FROM regress_t;

-- temporary tables are not shared
CREATE TEMP TABLE regress_temp (x int);
SELECT autonomous_exec('SELECT * FROM regress_temp');
DROP TABLE regress_temp;

DROP TABLE regress_t;
SET client_min_messages = warning;
DROP SCHEMA regress_one, "regress, ""two""" CASCADE;
DROP FUNCTION regress_with_set(), regress_there(text);
DROP ROLE regress_aside_low;

-- what was asked for when the session began is what RESET goes back to, there too
\c -reuse-previous=on "options=-cwork_mem=5MB"
SET work_mem = '6MB';
SELECT * FROM autonomous_query('SET work_mem = ''7MB''; RESET work_mem; SELECT current_setting(''work_mem'')') AS (v text);
SELECT * FROM autonomous_query('SET work_mem TO DEFAULT; SELECT current_setting(''work_mem'')') AS (v text);
SELECT * FROM autonomous_query('RESET ALL; SELECT current_setting(''work_mem'')') AS (v text);
SELECT autonomous_session_open('r'), autonomous_session_exec('r', 'BEGIN'), autonomous_session_exec('r', 'SET LOCAL work_mem TO DEFAULT');
SELECT * FROM autonomous_session_query('r', 'SHOW work_mem') AS (v text);
SELECT autonomous_session_exec('r', 'COMMIT');
SELECT * FROM autonomous_session_query('r', 'SHOW work_mem') AS (v text);
SELECT autonomous_session_close('r');
\c -reuse-previous=on "options=-cclient_min_messages=notice"
SELECT * FROM autonomous_query('RESET work_mem; SELECT current_setting(''work_mem'') = $1', current_setting('work_mem')) AS (same boolean);
