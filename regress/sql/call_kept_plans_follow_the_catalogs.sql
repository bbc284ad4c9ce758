-- Claim: a command that has been run before does what EXECUTE of its text would
-- do now, whatever has changed meanwhile, by every entry: a kept plan is used
-- only where a new one would be the same.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA regress_dblink;
CREATE EXTENSION aside_dblink SCHEMA regress_dblink;
CREATE SCHEMA regress_background;
CREATE EXTENSION aside_pg_background SCHEMA regress_background;
CREATE TABLE regress_log (n serial, v text);

-- a command that logs one text, by an entry: what it logged, or its SQLSTATE
CREATE FUNCTION regress_by(entry text, command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v text;
    task bigint;
    pid int;
BEGIN
    CASE entry
        WHEN 'execute' THEN EXECUTE command INTO v;
        WHEN 'exec' THEN PERFORM autonomous_exec(command);
        WHEN 'query' THEN SELECT r INTO v FROM autonomous_query(command) AS (r text);
        WHEN 'query_as' THEN SELECT r INTO v FROM autonomous_query_as(NULL::text, command) r;
        WHEN 'json' THEN SELECT r ->> 'v' INTO v FROM autonomous_json(command) r;
        WHEN 'session exec' THEN PERFORM autonomous_session_exec('regress', command);
        WHEN 'session query' THEN SELECT r INTO v FROM autonomous_session_query('regress', command) AS (r text);
        WHEN 'session send' THEN
            PERFORM autonomous_session_send('regress', command);
            SELECT r INTO v FROM autonomous_session_result('regress') AS (r text);
            PERFORM FROM autonomous_session_result('regress') AS (r text);
        WHEN 'task' THEN SELECT r INTO v FROM async_result(async_exec(command)) AS (r text);
        WHEN 'run' THEN
            task := async_exec('SELECT 1');
            SELECT r INTO v FROM async_result(async_run(task, command)) AS (r text);
        WHEN 'dblink' THEN SELECT r INTO v FROM regress_dblink.dblink('regress', command) AS (r text);
        WHEN 'background' THEN
            SELECT r INTO v FROM regress_background.pg_background_result(regress_background.pg_background_launch(command)) AS (r text);
    END CASE;
    -- by what it left where it returns nothing
    IF entry IN ('exec', 'session exec') THEN
        SELECT l.v INTO v FROM regress_log l ORDER BY n DESC LIMIT 1;
    END IF;
    RETURN v;
EXCEPTION WHEN OTHERS THEN
    IF entry = 'session send' THEN
        PERFORM FROM autonomous_session_result('regress') AS (r text);
    END IF;
    RETURN '! ' || SQLSTATE;
END $$;
CREATE TABLE regress_entries AS SELECT unnest(ARRAY['exec', 'query', 'query_as', 'json', 'session exec', 'session query', 'session send',
    'task', 'run', 'dblink', 'background']) AS entry;

-- run it thrice by each entry, change something, and see who differs from EXECUTE
CREATE PROCEDURE regress_case(expression text, change text DEFAULT 'SELECT') LANGUAGE plpgsql AS $$
DECLARE
    command text := format('INSERT INTO regress_log (v) SELECT (%s)::text RETURNING v', expression);
    before text;
    wanted text;
    stale text;
BEGIN
    PERFORM regress_by(entry, command) FROM regress_entries, generate_series(1, 3);
    before := regress_by('execute', command);
    COMMIT;
    EXECUTE change;
    COMMIT;
    wanted := regress_by('execute', command);
    SELECT string_agg(entry || ': ' || coalesce(got, 'NULL'), ', ') INTO stale
    FROM (SELECT entry, regress_by(entry, command) AS got FROM regress_entries) e WHERE got IS DISTINCT FROM wanted;
    RAISE INFO '% | % -> % | %', expression, before, wanted, coalesce('stale: ' || stale, 'all the same');
END $$;
SELECT autonomous_session_open('regress'), regress_dblink.dblink_connect('regress', 'dbname=' || current_database());

-- literals that are read by the clock
CALL regress_case($$'now'::timestamptz = now()$$);
CALL regress_case($$('[' || now() || ',' || now() || ']')::tstzrange = '[now,now]'$$);
CALL regress_case($$'{now}'::timestamptz[] = ARRAY[now()]$$);
CREATE DOMAIN regress_moment AS timestamptz;
CALL regress_case($$'now'::regress_moment = now()$$);
CREATE TYPE regress_pair AS (a timestamptz, b int);
CALL regress_case($$'(now,1)'::regress_pair = (now(), 1)::regress_pair$$);
CREATE FUNCTION regress_moments(OUT timestamptz) LANGUAGE sql AS $$SELECT 'now'::timestamptz$$;
CALL regress_case($$regress_moments() = now()$$);
CREATE TABLE regress_at (at timestamptz);
CREATE FUNCTION regress_insert(x timestamptz) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN x = now(); END';
CALL regress_case($$regress_insert('now')$$);
-- what calls itself immutable, and is not
CREATE TABLE regress_rate AS SELECT 1 AS r;
CREATE FUNCTION regress_rate() RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT r FROM regress_rate); END';
CALL regress_case('regress_rate()', 'UPDATE regress_rate SET r = 2');
CREATE VIEW regress_rates AS SELECT regress_rate() AS r;
CALL regress_case('(SELECT r FROM regress_rates)', 'UPDATE regress_rate SET r = 3');
-- functions in SQL, whose bodies are taken in or run each time
CREATE TABLE regress_written (r int);
CREATE FUNCTION regress_write() RETURNS int LANGUAGE sql AS 'INSERT INTO regress_written SELECT r FROM regress_rate RETURNING r';
CALL regress_case('regress_write()', 'UPDATE regress_rate SET r = 4');
CALL regress_case('regress_write()', $$CREATE OR REPLACE FUNCTION regress_write() RETURNS int LANGUAGE sql AS 'SELECT regress_rate()'$$);
CALL regress_case('regress_write()', 'UPDATE regress_rate SET r = 5');
CALL regress_case('regress_write()', $$CREATE OR REPLACE FUNCTION regress_write() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT r FROM regress_rate'$$);
CALL regress_case('regress_write()', 'UPDATE regress_rate SET r = 6');
SET check_function_bodies = off;
CREATE FUNCTION regress_unreadable() RETURNS int LANGUAGE sql AS 'no such command';
CALL regress_case('regress_unreadable()', $$CREATE OR REPLACE FUNCTION regress_unreadable() RETURNS int LANGUAGE sql AS 'SELECT 1'$$);
RESET check_function_bodies;

-- domains: default, constraint, NOT NULL
CREATE DOMAIN regress_d AS int DEFAULT 1;
CREATE TABLE regress_t (k int, d regress_d);
CREATE FUNCTION regress_check(regress_d) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
SELECT autonomous_exec('INSERT INTO regress_t (k) VALUES (1)'), autonomous_session_exec('regress', 'INSERT INTO regress_t (k) VALUES (2)') FROM generate_series(1, 3);
ALTER DOMAIN regress_d SET DEFAULT 2;
SELECT autonomous_exec('INSERT INTO regress_t (k) VALUES (1)'), autonomous_session_exec('regress', 'INSERT INTO regress_t (k) VALUES (2)');
SELECT k, array_agg(d ORDER BY d) AS defaults FROM regress_t GROUP BY k ORDER BY k;
CALL regress_case('regress_check(5)', 'ALTER DOMAIN regress_d ADD CHECK (VALUE < 3)');
CALL regress_case($$'5'::regress_d$$, 'ALTER DOMAIN regress_d DROP CONSTRAINT regress_d_check');
CALL regress_case($$NULL::int::regress_d$$, 'DELETE FROM regress_t; ALTER DOMAIN regress_d SET NOT NULL');

-- types, made again and changed
CREATE TYPE regress_c AS (a int);
CALL regress_case('ROW(1)::regress_c', 'DROP TYPE regress_c; CREATE TYPE regress_c AS (a numeric(4,2))');
CALL regress_case('ROW(1)::regress_c', 'ALTER TYPE regress_c ADD ATTRIBUTE b int');
CREATE TYPE regress_e AS ENUM ('one', 'two');
CALL regress_case($$'one'::regress_e$$, $$ALTER TYPE regress_e RENAME VALUE 'one' TO 'eins'$$);
CALL regress_case($$'drei'::regress_e$$, $$ALTER TYPE regress_e ADD VALUE 'drei'$$);
CALL regress_case($$'two'::regress_e < 'drei'$$, $$DROP TYPE regress_e; CREATE TYPE regress_e AS ENUM ('drei', 'two')$$);
-- a function's rows are of a table that is altered
CREATE TABLE regress_row (a int);
INSERT INTO regress_row VALUES (1);
CREATE FUNCTION regress_rows() RETURNS SETOF regress_row LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT * FROM regress_row; END';
CALL regress_case('(SELECT r FROM regress_rows() r)', 'ALTER TABLE regress_row ADD b int DEFAULT 2');
CALL regress_case('(SELECT r FROM regress_rows() r)', 'ALTER TABLE regress_row DROP a');

-- functions, operators and casts that fit better, or no more
CREATE FUNCTION regress_f(numeric) RETURNS text LANGUAGE plpgsql AS $$BEGIN RETURN 'numeric'; END$$;
CALL regress_case('regress_f(1)', $f$CREATE FUNCTION regress_f(int) RETURNS text LANGUAGE plpgsql AS $$BEGIN RETURN 'int'; END$$$f$);
CALL regress_case('regress_f(1)', 'DROP FUNCTION regress_f(int)');
CREATE FUNCTION regress_plus(numeric, numeric) RETURNS text LANGUAGE plpgsql AS $$BEGIN RETURN 'numeric'; END$$;
CREATE OPERATOR <+++> (LEFTARG = numeric, RIGHTARG = numeric, FUNCTION = regress_plus);
CREATE FUNCTION regress_plus(int, int) RETURNS text LANGUAGE plpgsql AS $$BEGIN RETURN 'int'; END$$;
CALL regress_case('1 <+++> 2', 'CREATE OPERATOR <+++> (LEFTARG = int, RIGHTARG = int, FUNCTION = regress_plus)');
CREATE FUNCTION regress_cast(regress_c) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 7; END';
CALL regress_case('ROW(1, 2)::regress_c::int', 'CREATE CAST (regress_c AS int) WITH FUNCTION regress_cast(regress_c)');
CALL regress_case('ROW(1, 2)::regress_c::int', 'DROP CAST (regress_c AS int)');
-- names within literals
CREATE ROLE regress_r;
CALL regress_case($$'regress_r'::regrole::oid = (SELECT oid FROM pg_roles WHERE rolname = 'regress_r')$$, 'DROP ROLE regress_r; CREATE ROLE regress_r');
CALL regress_case($$'regress_r'::regrole$$, 'ALTER ROLE regress_r RENAME TO regress_s');
CALL regress_case($$'regress_one'::regproc::oid = (SELECT oid FROM pg_proc WHERE proname = 'regress_one')$$,
    'CREATE FUNCTION regress_one() RETURNS int LANGUAGE sql AS ''SELECT 1''');
CALL regress_case($$'regress_one'::regproc::oid = (SELECT oid FROM pg_proc WHERE proname = 'regress_one')$$,
    'DROP FUNCTION regress_one; CREATE FUNCTION regress_one() RETURNS int LANGUAGE sql AS ''SELECT 1''');
CALL regress_case($$'regress_e'::regtype::oid = (SELECT oid FROM pg_type WHERE typname = 'regress_e')$$,
    'DROP TYPE regress_e; CREATE TYPE regress_e AS ENUM (''one'')');
CREATE SEQUENCE regress_q START 100;
CALL regress_case($$nextval('regress_q') > 1000$$, 'ALTER SEQUENCE regress_q RENAME TO regress_q_old; CREATE SEQUENCE regress_q START 2000');
CALL regress_case($$'regress_ns'::regnamespace$$, 'CREATE SCHEMA regress_ns');
-- text search
CREATE TEXT SEARCH CONFIGURATION regress_ts (COPY = simple);
CALL regress_case($$to_tsvector('regress_ts', 'running')$$, 'ALTER TEXT SEARCH CONFIGURATION regress_ts ALTER MAPPING FOR asciiword WITH english_stem');
CREATE TEXT SEARCH DICTIONARY regress_dict (TEMPLATE = simple);
ALTER TEXT SEARCH CONFIGURATION regress_ts ALTER MAPPING FOR asciiword WITH regress_dict;
CALL regress_case($$to_tsvector('regress_ts', 'the running')$$, 'ALTER TEXT SEARCH DICTIONARY regress_dict (STOPWORDS = english)');
-- what is found earlier in the search path
CREATE SCHEMA regress_early;
SET search_path = regress_early, public;
SELECT autonomous_session_exec('regress', 'SET search_path = regress_early, public'), regress_dblink.dblink_exec('regress', 'SET search_path = regress_early, public');
CREATE TABLE public.regress_found AS SELECT 'late' AS x;
CALL regress_case('(SELECT x FROM regress_found)', 'CREATE TABLE regress_early.regress_found AS SELECT ''early'' AS x');
CALL regress_case('(SELECT x FROM regress_found)', 'ALTER TABLE regress_early.regress_found RENAME TO regress_lost');
CREATE SEQUENCE public.regress_seq START 1;
CREATE SEQUENCE regress_early.regress_seq_early START 50;
CALL regress_case('(SELECT last_value FROM regress_seq)', 'ALTER SEQUENCE regress_early.regress_seq_early RENAME TO regress_seq');
CREATE FUNCTION public.regress_which() RETURNS text LANGUAGE plpgsql AS $$BEGIN RETURN 'late'; END$$;
CALL regress_case('regress_which()', $f$CREATE FUNCTION regress_early.regress_which() RETURNS text LANGUAGE plpgsql AS $$BEGIN RETURN 'early'; END$$$f$);
CALL regress_case('regress_which()', 'ALTER SCHEMA regress_early RENAME TO regress_gone');
CREATE COLLATION regress_coll FROM "C";
CALL regress_case($$'a' COLLATE regress_coll < 'B'$$, 'DROP COLLATION regress_coll; CREATE COLLATION regress_coll FROM "POSIX"');
RESET search_path;

-- roles: who is a member, who is above row security, who may call what the planner has evaluated
CREATE ROLE regress_reader IN ROLE aside_user;
CREATE ROLE regress_group;
CREATE TABLE regress_rls AS SELECT 1 AS x;
ALTER TABLE regress_rls ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON regress_rls TO regress_group USING (true);
GRANT SELECT ON regress_rls TO regress_reader;
CREATE FUNCTION regress_constant(int) RETURNS int IMMUTABLE LANGUAGE internal AS 'int4abs';
REVOKE EXECUTE ON FUNCTION regress_constant(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION regress_constant(int) TO regress_group, regress_reader;
CREATE FUNCTION regress_count() RETURNS bigint LANGUAGE sql AS
    $$SELECT c FROM autonomous_query('SELECT count(*) FROM regress_rls') AS (c bigint)$$;
SET ROLE regress_reader;
SELECT array_agg(regress_count()) FROM generate_series(1, 3);
SELECT array_agg(autonomous_exec('SELECT regress_constant(-1)')) FROM generate_series(1, 3);
RESET ROLE;
GRANT regress_group TO regress_reader;
SET ROLE regress_reader;
SELECT regress_count();
RESET ROLE;
REVOKE regress_group FROM regress_reader;
ALTER ROLE regress_reader BYPASSRLS;
SET ROLE regress_reader;
SELECT regress_count();
RESET ROLE;
ALTER ROLE regress_reader NOBYPASSRLS;
REVOKE EXECUTE ON FUNCTION regress_constant(int) FROM regress_reader;
SET ROLE regress_reader;
SELECT regress_count();
SELECT autonomous_exec('SELECT regress_constant(-1)');
RESET ROLE;

-- an argument without a type is what the statement makes of it now
CREATE TABLE regress_untyped (a int);
SELECT autonomous_exec('INSERT INTO regress_untyped VALUES ($1)', '007') FROM generate_series(1, 3);
ALTER TABLE regress_untyped ALTER a TYPE text;
SELECT autonomous_exec('INSERT INTO regress_untyped VALUES ($1)', '007');
SELECT autonomous_exec('INSERT INTO regress_untyped VALUES ($1)', 'agent');
SELECT a, count(*) FROM regress_untyped GROUP BY a ORDER BY a;
-- an argument of a type that is made again
CREATE FUNCTION regress_typed() RETURNS SETOF text LANGUAGE plpgsql AS
    $$BEGIN RETURN QUERY EXECUTE 'SELECT * FROM autonomous_query(''SELECT $1::text'', ROW(1.5)::regress_m) AS (t text)'; END$$;
CREATE TYPE regress_m AS (a int);
SELECT regress_typed() FROM generate_series(1, 3);
DROP TYPE regress_m;
CREATE TYPE regress_m AS (a numeric);
SELECT regress_typed();
-- what analysis tells is told each time
SELECT autonomous_exec('SELECT 1 AS regress_a_name_that_is_longer_than_sixty_three_bytes_and_is_cut_by_the_parser');
RESET client_min_messages;
SELECT autonomous_exec('SELECT 1 AS regress_a_name_that_is_longer_than_sixty_three_bytes_and_is_cut_by_the_parser') FROM generate_series(1, 2);
-- within a transaction of a session, and when it is rolled back
SELECT autonomous_session_exec('regress', 'BEGIN');
SELECT x FROM autonomous_session_query('regress', 'SELECT regress_f(1)') AS (x text);
SELECT autonomous_session_exec('regress', $f$CREATE FUNCTION regress_f(int) RETURNS text LANGUAGE plpgsql AS $$BEGIN RETURN 'mine'; END$$$f$);
SELECT x FROM autonomous_session_query('regress', 'SELECT regress_f(1)') AS (x text);
SELECT x FROM autonomous_session_query('regress', 'SELECT regress_f(1)') AS (x text);
SELECT autonomous_session_exec('regress', 'ROLLBACK');
SELECT x FROM autonomous_session_query('regress', 'SELECT regress_f(1)') AS (x text);
SELECT autonomous_session_close('regress'), regress_dblink.dblink_disconnect('regress');

SET client_min_messages = warning;
DROP SCHEMA regress_gone, regress_ns, regress_dblink, regress_background CASCADE;
DROP FUNCTION regress_by, regress_moments, regress_insert, regress_rate CASCADE;
DROP PROCEDURE regress_case;
DROP TABLE regress_log, regress_entries, regress_at, regress_rate, regress_written, regress_t, regress_rls, regress_untyped, regress_found;
DROP FUNCTION regress_typed, regress_count, regress_constant, regress_which, regress_one, regress_rows, regress_check, regress_f(numeric), regress_cast;
DROP OPERATOR <+++> (numeric, numeric);
DROP OPERATOR <+++> (int, int);
DROP FUNCTION regress_plus(numeric, numeric), regress_plus(int, int);
DROP TABLE regress_row;
DROP SEQUENCE regress_q, regress_q_old, regress_seq;
DROP TEXT SEARCH CONFIGURATION regress_ts;
DROP TEXT SEARCH DICTIONARY regress_dict;
DROP COLLATION regress_coll;
DROP TYPE regress_pair, regress_c, regress_e, regress_m;
DROP DOMAIN regress_moment, regress_d;
DROP ROLE regress_s, regress_reader, regress_group;
