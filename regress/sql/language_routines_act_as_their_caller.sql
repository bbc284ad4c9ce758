-- Claim: who may not execute a routine does not run it; SECURITY DEFINER and
-- SET clauses of the routine hold in the autonomous transaction, and end with
-- it; inside a security-restricted operation routines are refused (42501);
-- only members of aside_user may write in the language.
\set VERBOSITY sqlstate
SET client_min_messages = warning;
CREATE ROLE regress_aside_owner IN ROLE aside_user;
CREATE ROLE regress_aside_caller;
CREATE ROLE regress_aside_outside;
GRANT CREATE ON SCHEMA public TO regress_aside_owner, regress_aside_outside;
RESET client_min_messages;

-- who may write in it
SET ROLE regress_aside_outside;
CREATE FUNCTION regress_no() RETURNS int LANGUAGE plpgsql_autonomous AS 'BEGIN RETURN 1; END';
DO LANGUAGE plpgsql_autonomous 'BEGIN END';
SET ROLE regress_aside_owner;
CREATE TABLE regress_vault (n int, who text);
CREATE FUNCTION regress_who(n int) RETURNS text LANGUAGE plpgsql_autonomous AS
    'BEGIN INSERT INTO regress_vault VALUES (n, current_user); RETURN current_user; END';
CREATE PROCEDURE regress_who_p(n int) LANGUAGE plpgsql_autonomous AS
    'BEGIN INSERT INTO regress_vault VALUES (n, current_user); COMMIT; INSERT INTO regress_vault VALUES (n + 1, current_user); ROLLBACK; END';
CREATE FUNCTION regress_who_t() RETURNS trigger LANGUAGE plpgsql_autonomous AS
    'BEGIN INSERT INTO regress_vault VALUES (NEW.n, current_user); RETURN NEW; END';
DO LANGUAGE plpgsql_autonomous 'BEGIN INSERT INTO regress_vault VALUES (0, current_user); COMMIT; END';
REVOKE EXECUTE ON FUNCTION regress_who(int) FROM PUBLIC;
REVOKE EXECUTE ON PROCEDURE regress_who_p(int) FROM PUBLIC;
CREATE TABLE regress_trapped (n int);
CREATE TRIGGER regress_tr BEFORE INSERT ON regress_trapped FOR EACH ROW EXECUTE FUNCTION regress_who_t();
GRANT INSERT ON regress_trapped TO regress_aside_caller;

-- who may run it, and as whom
SET ROLE regress_aside_caller;
SELECT regress_who(1);
CALL regress_who_p(1);
SET ROLE regress_aside_owner;
GRANT EXECUTE ON FUNCTION regress_who(int) TO regress_aside_caller;
GRANT EXECUTE ON PROCEDURE regress_who_p(int) TO regress_aside_caller;
SET ROLE regress_aside_caller;
-- (the caller may not write to the owner's table)
SELECT regress_who(2);
CALL regress_who_p(2);
INSERT INTO regress_trapped VALUES (2);
RESET ROLE;
ALTER FUNCTION regress_who(int) SECURITY DEFINER;
ALTER FUNCTION regress_who_t() SECURITY DEFINER;
SET ROLE regress_aside_caller;
SELECT regress_who(3), current_user;
INSERT INTO regress_trapped VALUES (3);
SELECT regress_who(n) FROM (VALUES (4), (5)) v(n);
RESET ROLE;
SET SESSION AUTHORIZATION regress_aside_caller;
SELECT regress_who(6), current_user;
INSERT INTO regress_trapped VALUES (6);
RESET SESSION AUTHORIZATION;
SET ROLE regress_aside_owner;
CALL regress_who_p(7);
RESET ROLE;
SELECT regress_who(9);
CALL regress_who_p(9);
SELECT n, who = 'regress_aside_owner' AS as_owner FROM regress_vault ORDER BY n, as_owner DESC;
-- the definer cannot be left, and nothing of it stays
SET ROLE regress_aside_owner;
CREATE FUNCTION regress_leave(how text) RETURNS text SECURITY DEFINER LANGUAGE plpgsql_autonomous AS
    'BEGIN EXECUTE how; RETURN current_user; END';
CREATE FUNCTION regress_leave_plain(how text) RETURNS text LANGUAGE plpgsql_autonomous AS
    'BEGIN EXECUTE how; RETURN current_user; END';
RESET ROLE;
SET SESSION AUTHORIZATION regress_aside_caller;
SELECT regress_leave('SET ROLE regress_aside_owner');
SELECT regress_leave('RESET ROLE');
SELECT regress_leave('SET SESSION AUTHORIZATION DEFAULT');
SELECT regress_leave('SELECT 1 / 0');
SELECT regress_leave('COMMIT');
SELECT regress_leave('SELECT 1'), regress_leave_plain('SELECT 1'), regress_leave_plain('RESET ROLE');
SELECT regress_leave_plain('SET ROLE regress_aside_owner');
SELECT regress_leave_plain('SELECT * FROM regress_vault');
RESET SESSION AUTHORIZATION;
-- nested: the definer's routine calls the invoker's, and the other way round
SET ROLE regress_aside_owner;
CREATE FUNCTION regress_nest(how text) RETURNS text SECURITY DEFINER LANGUAGE plpgsql_autonomous AS
    'BEGIN RETURN current_user || '' '' || regress_leave_plain(how) || '' '' || regress_leave(how); END';
RESET ROLE;
SET ROLE regress_aside_caller;
SELECT regress_nest('SELECT 1');
SELECT regress_nest('RESET ROLE');
RESET ROLE;

-- SET clauses
CREATE FUNCTION regress_settings(OUT path text, OUT mem text, OUT custom text) SET search_path = regress_nowhere, public
    SET work_mem = '3MB' SET regress.custom = 'of the function' LANGUAGE plpgsql_autonomous AS $$
BEGIN
    path := current_setting('search_path');
    mem := current_setting('work_mem');
    custom := current_setting('regress.custom');
    PERFORM set_config('work_mem', '5MB', false);
END
$$;
SET work_mem = '4MB';
SET regress.custom = 'of the session';
SELECT * FROM regress_settings();
SELECT current_setting('work_mem') AS mem, current_setting('regress.custom') AS custom;
ALTER FUNCTION regress_settings() RESET ALL;
SELECT * FROM regress_settings();
BEGIN;
SET LOCAL work_mem = '6MB';
SELECT mem FROM regress_settings();
ALTER FUNCTION regress_settings() SET work_mem = '7MB';
ROLLBACK;
ALTER FUNCTION regress_settings() SET work_mem FROM CURRENT;
SET work_mem = '8MB';
SELECT mem FROM regress_settings();
RESET work_mem;
SELECT mem FROM autonomous_query('SHOW work_mem') AS (mem text) WHERE mem <> current_setting('work_mem');
RESET regress.custom;

-- security-restricted operations: somebody's index function under a superuser
SET ROLE regress_aside_owner;
CREATE TABLE regress_bait (x int);
INSERT INTO regress_bait VALUES (1);
CREATE FUNCTION regress_index(x int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN x; END';
CREATE INDEX regress_trap ON regress_bait (regress_index(x));
CREATE OR REPLACE FUNCTION regress_index(x int) RETURNS int IMMUTABLE LANGUAGE plpgsql_autonomous AS
    'BEGIN INSERT INTO regress_vault VALUES (100, current_user); RETURN x; END';
RESET ROLE;
REINDEX INDEX regress_trap;
ANALYZE regress_bait;
CREATE INDEX ON regress_bait (regress_index(x + 1));
SET ROLE regress_aside_owner;
CREATE OR REPLACE FUNCTION regress_index(x int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
    'BEGIN PERFORM public.regress_do(); RETURN x; END';
CREATE FUNCTION regress_do() RETURNS int LANGUAGE plpgsql AS
    'BEGIN DO LANGUAGE plpgsql_autonomous ''BEGIN INSERT INTO regress_vault VALUES (100, current_user); END''; RETURN 1; END';
RESET ROLE;
REINDEX INDEX regress_trap;
SELECT count(*) AS looted FROM regress_vault WHERE n = 100;

-- the language's own functions are for the server
SET ROLE regress_aside_owner;
SELECT aside.plpgsql_validate('regress_who(int)'::regprocedure);
SELECT aside.plpgsql_call();
RESET ROLE;
SELECT aside.plpgsql_call();
SELECT aside.plpgsql_validate(0);
SELECT aside.plpgsql_validate('pg_catalog.lower(text)'::regprocedure);
SELECT aside.plpgsql_validate('regress_who(int)'::regprocedure) AS valid;

DROP TABLE regress_bait, regress_trapped, regress_vault;
DROP FUNCTION regress_index(int), regress_do(), regress_who(int), regress_who_t(), regress_leave(text), regress_leave_plain(text),
    regress_nest(text), regress_settings();
DROP PROCEDURE regress_who_p(int);
REVOKE CREATE ON SCHEMA public FROM regress_aside_owner, regress_aside_outside;
DROP ROLE regress_aside_owner, regress_aside_caller, regress_aside_outside;
