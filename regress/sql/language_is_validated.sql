-- Claim: CREATE FUNCTION checks a body in LANGUAGE plpgsql_autonomous as it
-- does one in PL/pgSQL, with the position of the error; ALTER FUNCTION, DROP
-- and the catalogs treat the routines as any; the language is the extension's.
\set SHOW_CONTEXT never
-- the body
CREATE FUNCTION regress_f() RETURNS int LANGUAGE plpgsql_autonomous AS 'BEGIN slect 1; END';
\set VERBOSITY sqlstate
CREATE FUNCTION regress_f() RETURNS int LANGUAGE plpgsql_autonomous AS $$
BEGIN
    RETURN 1;
    IF true THEN
END
$$;
CREATE PROCEDURE regress_f() LANGUAGE plpgsql_autonomous AS 'BEGIN RETURN 1; END';
CREATE FUNCTION regress_f() RETURNS int LANGUAGE plpgsql_autonomous AS 'DECLARE a regress_no_such_type; BEGIN END';
CREATE FUNCTION regress_f() RETURNS void LANGUAGE plpgsql_autonomous AS 'BEGIN RETURN NEXT 1; END';
-- the signature
CREATE FUNCTION regress_f(a cstring) RETURNS int LANGUAGE plpgsql_autonomous AS 'BEGIN END';
CREATE FUNCTION regress_f() RETURNS cstring LANGUAGE plpgsql_autonomous AS 'BEGIN END';
CREATE FUNCTION regress_f(internal) RETURNS internal LANGUAGE plpgsql_autonomous AS 'BEGIN END';
CREATE FUNCTION regress_f(VARIADIC "any") RETURNS int LANGUAGE plpgsql_autonomous AS 'BEGIN END';
CREATE FUNCTION regress_f(a int) RETURNS trigger LANGUAGE plpgsql_autonomous AS 'BEGIN END';
CREATE FUNCTION regress_f() RETURNS anyelement LANGUAGE plpgsql_autonomous AS 'BEGIN END';
\set VERBOSITY default
CREATE FUNCTION regress_f() RETURNS event_trigger LANGUAGE plpgsql_autonomous AS 'BEGIN END';
\set VERBOSITY sqlstate
CREATE FUNCTION regress_f() RETURNS language_handler LANGUAGE plpgsql_autonomous AS 'BEGIN END';
SELECT count(*) AS none FROM pg_proc WHERE proname = 'regress_f';
\set VERBOSITY default
DO LANGUAGE plpgsql_autonomous 'BEGIN slect 1; END';
\set VERBOSITY sqlstate
-- unchecked bodies, as for pg_restore; the error comes with the call
SET check_function_bodies = off;
CREATE FUNCTION regress_f() RETURNS int LANGUAGE plpgsql_autonomous AS 'BEGIN slect 1; END';
CREATE FUNCTION regress_event() RETURNS event_trigger LANGUAGE plpgsql_autonomous AS 'BEGIN END';
RESET check_function_bodies;
SELECT regress_f();
CREATE OR REPLACE FUNCTION regress_f() RETURNS int LANGUAGE plpgsql_autonomous AS 'BEGIN RETURN 1; END';
SELECT regress_f();
-- plpgsql's own checks are asked for by its settings
SET plpgsql.extra_errors = 'shadowed_variables';
CREATE FUNCTION regress_shadow(a int) RETURNS int LANGUAGE plpgsql_autonomous AS 'DECLARE a int; BEGIN RETURN a; END';
RESET plpgsql.extra_errors;
CREATE FUNCTION regress_directive(a int) RETURNS int LANGUAGE plpgsql_autonomous AS $$
#variable_conflict use_variable
BEGIN
    RETURN (SELECT a FROM (SELECT 5 AS a) s);
END
$$;
SELECT regress_directive(1);

-- ALTER FUNCTION, other languages, DROP
ALTER FUNCTION regress_f() RENAME TO regress_g;
CREATE SCHEMA regress_there;
ALTER FUNCTION regress_g() SET SCHEMA regress_there;
SELECT regress_there.regress_g();
ALTER FUNCTION regress_there.regress_g() STABLE STRICT LEAKPROOF PARALLEL SAFE COST 5 SET work_mem = '1MB';
SELECT regress_there.regress_g();
SELECT pg_get_functiondef('regress_there.regress_g()'::regprocedure);
COMMENT ON FUNCTION regress_there.regress_g() IS 'commented';
SELECT l.lanname, p.provolatile, p.proisstrict, p.proparallel FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE p.oid = 'regress_there.regress_g()'::regprocedure;
CREATE OR REPLACE FUNCTION regress_there.regress_g() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 2; END';
SELECT regress_there.regress_g();
CREATE OR REPLACE FUNCTION regress_there.regress_g() RETURNS int LANGUAGE plpgsql_autonomous AS 'BEGIN RETURN 3; END';
SELECT regress_there.regress_g();
DROP FUNCTION regress_there.regress_g();

-- the language is the extension's
SELECT lanpltrusted, has_language_privilege('public', 'plpgsql_autonomous', 'USAGE') AS public_may,
       has_language_privilege('aside_user', 'plpgsql_autonomous', 'USAGE') AS aside_user_may FROM pg_language WHERE lanname = 'plpgsql_autonomous';
DROP LANGUAGE plpgsql_autonomous;
DROP EXTENSION pg_aside;
DROP SCHEMA regress_there;
DROP FUNCTION regress_directive(int);
