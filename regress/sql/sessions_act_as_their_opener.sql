-- Claim: a session acts as whoever opened it and for nobody else: another role is
-- refused, a definer's function and a security-restricted operation too; within
-- the session roles can be changed as in a client's.
\set VERBOSITY sqlstate
SET client_min_messages = warning;
CREATE ROLE regress_aside_one;
CREATE ROLE regress_aside_two;
CREATE ROLE regress_aside_stranger;
GRANT aside_user TO regress_aside_one, regress_aside_two;
GRANT regress_aside_two TO regress_aside_one;
GRANT CREATE ON SCHEMA public TO regress_aside_one;
RESET client_min_messages;

-- who: the current user, by session authorization or by role
CREATE VIEW regress_who AS SELECT current_user::text AS c, session_user::text AS s, current_setting('role') AS r;
GRANT SELECT ON regress_who TO PUBLIC;
SELECT session_user AS login \gset
SET ROLE regress_aside_one;
SELECT autonomous_session_open('one');
SELECT c, s = :'login' AS login, r FROM autonomous_session_query('one', 'TABLE regress_who') AS (c text, s text, r text);
SELECT autonomous_session_exec('one', 'CREATE TABLE regress_of_one (a int)');
-- in another role every use is 42501, opening another one is not
SET ROLE regress_aside_two;
SELECT autonomous_session_exec('one', 'SELECT 1');
SELECT * FROM autonomous_session_query('one', 'SELECT 1') AS (a int);
SELECT autonomous_session_send('one', 'SELECT 1');
SELECT * FROM autonomous_session_result('one') AS (a int);
SELECT * FROM autonomous_session_notifications('one');
SELECT autonomous_session_error('one');
SELECT autonomous_session_open('one');
SELECT autonomous_session_open('two');
SELECT c FROM autonomous_session_query('two', 'TABLE regress_who') AS (c text, s text, r text);
SELECT autonomous_session_exec('two', 'INSERT INTO regress_of_one VALUES (1)');
RESET ROLE;
SELECT autonomous_session_exec('one', 'SELECT 1');
SELECT autonomous_session_exec('two', 'SELECT 1');
SET SESSION AUTHORIZATION regress_aside_one;
SELECT autonomous_session_exec('one', 'SELECT 1');
RESET SESSION AUTHORIZATION;
SET ROLE regress_aside_one;
SELECT autonomous_session_exec('one', 'INSERT INTO regress_of_one VALUES (1)') AS back_again;
-- what runs for another role is not told either
SELECT autonomous_session_send('one', 'SELECT ''secret''');
SET ROLE regress_aside_two;
SELECT * FROM autonomous_session_result('one') AS (a text);
SELECT autonomous_session_is_busy('one') IS NOT NULL AS whether_it_runs;
SET ROLE regress_aside_one;
SELECT * FROM autonomous_session_result('one') AS (a text);
-- a role without the privilege
SET ROLE regress_aside_stranger;
SELECT autonomous_session_open('s');
SELECT autonomous_session_exec('one', 'SELECT 1');
SELECT autonomous_session_close('one');
SELECT * FROM autonomous_sessions();
RESET ROLE;

-- a referential action of the same role changes nobody; one of another role, as a definer's function, does
CREATE TABLE regress_parent (a int PRIMARY KEY);
CREATE TABLE regress_child (a int REFERENCES regress_parent ON DELETE CASCADE);
CREATE FUNCTION regress_by_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM autonomous_session_open('cascade');
    PERFORM autonomous_session_exec('cascade', 'INSERT INTO regress_of_one VALUES (77)');
    PERFORM autonomous_session_send('cascade', 'SELECT 78'), a FROM autonomous_session_result('cascade') AS (a int);
    PERFORM autonomous_session_close('cascade');
    RETURN old;
END $$;
CREATE TRIGGER by_session BEFORE DELETE ON regress_child FOR EACH ROW EXECUTE FUNCTION regress_by_session();
INSERT INTO regress_parent VALUES (1);
INSERT INTO regress_child VALUES (1);
DELETE FROM regress_parent;
SELECT count(*) FROM regress_of_one WHERE a = 77;
INSERT INTO regress_parent VALUES (1);
INSERT INTO regress_child VALUES (1);
ALTER TABLE regress_child OWNER TO regress_aside_two;
GRANT DELETE ON regress_parent TO regress_aside_one;
GRANT SELECT ON regress_parent TO regress_aside_two;
DELETE FROM regress_parent;
DROP TABLE regress_child, regress_parent;
DROP FUNCTION regress_by_session;

-- within a session: roles that its user may set, from call to call, until an abort takes them back
SET SESSION AUTHORIZATION regress_aside_one;
SELECT autonomous_session_open('s');
SELECT autonomous_session_exec('s', 'SET ROLE regress_aside_two');
SELECT * FROM autonomous_session_query('s', 'TABLE regress_who') AS (c text, s text, r text);
SELECT autonomous_session_exec('s', 'INSERT INTO regress_of_one VALUES (2)');
SELECT autonomous_session_exec('s', 'RESET ROLE');
SELECT * FROM autonomous_session_query('s', 'TABLE regress_who') AS (c text, s text, r text);
SELECT autonomous_session_exec('s', 'BEGIN'), autonomous_session_exec('s', 'SET LOCAL ROLE regress_aside_two');
SELECT c FROM autonomous_session_query('s', 'TABLE regress_who') AS (c text, s text, r text);
SELECT autonomous_session_exec('s', 'ROLLBACK');
SELECT c FROM autonomous_session_query('s', 'TABLE regress_who') AS (c text, s text, r text);
SELECT autonomous_session_exec('s', 'BEGIN; SET ROLE regress_aside_two');
SELECT autonomous_session_exec('s', 'SELECT 1/0');
SELECT autonomous_session_exec('s', 'ROLLBACK');
SELECT c FROM autonomous_session_query('s', 'TABLE regress_who') AS (c text, s text, r text);
SELECT autonomous_session_exec('s', 'SET ROLE regress_aside_stranger');
SELECT autonomous_session_exec('s', format('SET ROLE %I', :'login'));
-- who logged in counts for the session authorization, as it does for the caller
SELECT autonomous_session_exec('s', 'SET SESSION AUTHORIZATION regress_aside_two');
SELECT * FROM autonomous_session_query('s', 'TABLE regress_who') AS (c text, s text, r text);
SELECT autonomous_session_exec('s', 'SET SESSION AUTHORIZATION DEFAULT');
SELECT c = :'login' AND s = :'login' AS login, r FROM autonomous_session_query('s', 'TABLE regress_who') AS (c text, s text, r text);
SELECT autonomous_session_exec('s', 'SET SESSION AUTHORIZATION regress_aside_one');
-- a definer's function called there acts as the definer, and afterwards the session does not
RESET SESSION AUTHORIZATION;
CREATE FUNCTION regress_definer_who() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN current_user; END';
ALTER FUNCTION regress_definer_who() OWNER TO regress_aside_two;
SET SESSION AUTHORIZATION regress_aside_one;
SELECT * FROM autonomous_session_query('s', 'SELECT regress_definer_who(), current_user') AS (d text, c text);
SELECT autonomous_session_close('s');
RESET SESSION AUTHORIZATION;

-- in a definer's function: not opened, not used, whoever opened it
SELECT autonomous_session_open('own');
CREATE FUNCTION regress_definer(call text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    r text;
BEGIN
    EXECUTE call INTO r;
    RETURN r;
END
$$;
SELECT regress_definer($$SELECT autonomous_session_open('s')$$);
SELECT regress_definer($$SELECT autonomous_session_exec('own', 'SELECT 1')$$);
SELECT regress_definer($$SELECT * FROM autonomous_session_query('own', 'SELECT 1') AS (a int)$$);
SELECT regress_definer($$SELECT autonomous_session_send('own', 'SELECT 1')$$);
SELECT regress_definer($$SELECT * FROM autonomous_session_result('own') AS (a int)$$);
SELECT regress_definer($$SELECT * FROM autonomous_session_notifications('own')$$);
SELECT autonomous_session_exec('own', 'SELECT 1') AS outside;
SELECT regress_definer($$SELECT autonomous_exec('SELECT 1')$$) AS single_calls_go;

-- in a security-restricted operation: every entry
SET ROLE regress_aside_one;
CREATE TABLE regress_bait (x int);
INSERT INTO regress_bait VALUES (1);
CREATE FUNCTION regress_harmless(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN x; END';
CREATE INDEX regress_trap ON regress_bait (regress_harmless(x));
RESET ROLE;
\set VERBOSITY default
DO $$
DECLARE
    call text;
BEGIN
    FOREACH call IN ARRAY ARRAY[
        'public.autonomous_session_open(''loot'')',
        'public.autonomous_session_exec(''own'', ''CREATE TABLE public.regress_loot ()'')',
        'public.autonomous_session_exec(''own'', ''SELECT $1'', 1)',
        '* FROM public.autonomous_session_query(''own'', ''SELECT 1'') AS (a int)',
        'public.autonomous_session_send(''own'', ''CREATE TABLE public.regress_loot ()'')',
        '* FROM public.autonomous_session_result(''own'') AS (a int)',
        'public.autonomous_session_is_busy(''own'')',
        'public.autonomous_session_cancel(''own'')',
        'public.autonomous_session_error(''own'')',
        '* FROM public.autonomous_session_notifications(''own'')',
        'public.autonomous_session_close(''own'')',
        '* FROM public.autonomous_sessions()'
    ] LOOP
        EXECUTE format('CREATE OR REPLACE FUNCTION public.regress_harmless(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS %L',
                       'BEGIN PERFORM ' || call || '; RETURN x; END');
        BEGIN
            REINDEX INDEX regress_trap;
            RAISE NOTICE '%: went through', call;
        EXCEPTION WHEN insufficient_privilege THEN
            NULL;
        WHEN OTHERS THEN
            RAISE NOTICE '%: % %', call, SQLSTATE, SQLERRM;
        END;
    END LOOP;
END
$$;
SELECT session, state FROM autonomous_sessions();
SELECT to_regclass('regress_loot') IS NULL AS nothing_looted;
-- nor within the worker; its search_path there is the server's matter
\set SHOW_CONTEXT never
SELECT autonomous_session_exec('own', 'REINDEX INDEX regress_trap');
\set SHOW_CONTEXT errors
SELECT autonomous_session_close('own');
SET ROLE regress_aside_one;
SELECT autonomous_session_close('one');
SET ROLE regress_aside_two;
SELECT autonomous_session_close('two');
RESET ROLE;
DROP TABLE regress_bait, regress_of_one;
DROP FUNCTION regress_harmless(int), regress_definer(text), regress_definer_who();
DROP VIEW regress_who;
REVOKE CREATE ON SCHEMA public FROM regress_aside_one;
DROP ROLE regress_aside_one, regress_aside_two, regress_aside_stranger;
