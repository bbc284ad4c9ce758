-- Claim: a routine that the caller's own transaction has made or changed is an
-- error that says so (42883); one that others have replaced, altered or
-- dropped is the one that they have committed, from the next call on. What it
-- names is found by the caller's search_path, and nothing of ours is.
\set SHOW_CONTEXT never
CREATE TABLE regress_t (n int, note text);
-- made by the caller's transaction
BEGIN;
CREATE FUNCTION "regress Fresh"() RETURNS int LANGUAGE plpgsql_autonomous AS 'BEGIN RETURN 1; END';
SELECT "regress Fresh"();
ROLLBACK;
\set VERBOSITY sqlstate
BEGIN;
CREATE PROCEDURE regress_fresh(n int) LANGUAGE plpgsql_autonomous AS 'BEGIN INSERT INTO regress_t VALUES (n); END';
SAVEPOINT s;
CALL regress_fresh(1);
ROLLBACK TO s;
COMMIT;
CALL regress_fresh(2);
-- replaced or altered by it, in a subtransaction that stays or goes
BEGIN;
CREATE OR REPLACE PROCEDURE regress_fresh(n int) LANGUAGE plpgsql_autonomous AS 'BEGIN INSERT INTO regress_t VALUES (-n); END';
CALL regress_fresh(3);
ROLLBACK;
CALL regress_fresh(4);
BEGIN;
SAVEPOINT s;
ALTER PROCEDURE regress_fresh(int) SET work_mem = '2MB';
CALL regress_fresh(5);
ROLLBACK TO s;
CALL regress_fresh(6);
SAVEPOINT s;
ALTER PROCEDURE regress_fresh(int) RENAME TO regress_renamed;
RELEASE s;
SAVEPOINT t;
CALL regress_renamed(7);
ROLLBACK TO t;
CALL regress_fresh(7);
ROLLBACK;
BEGIN;
DROP PROCEDURE regress_fresh(int);
CALL regress_fresh(8);
ROLLBACK;
SELECT n FROM regress_t ORDER BY n;
-- a function of the caller's transaction that its autonomous function calls is not there
CREATE FUNCTION regress_outer() RETURNS int LANGUAGE plpgsql_autonomous AS 'BEGIN RETURN regress_inner(); END';
BEGIN;
CREATE FUNCTION regress_inner() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
SELECT regress_outer();
ROLLBACK;
CREATE FUNCTION regress_inner() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 2; END';
SELECT regress_outer();
-- types and tables of the caller's transaction
CREATE FUNCTION regress_any(x anyelement) RETURNS anyelement LANGUAGE plpgsql_autonomous AS 'BEGIN RETURN x; END';
BEGIN;
CREATE TYPE regress_new AS (a int);
SELECT regress_any('(1)'::regress_new);
ROLLBACK;
BEGIN;
ALTER TABLE regress_t ADD COLUMN late text;
SELECT regress_any(t) FROM regress_t t LIMIT 1;
ROLLBACK;

-- replaced, altered and dropped by others while a query of the caller goes on calling it
CREATE FUNCTION regress_changing(i int) RETURNS text LANGUAGE plpgsql_autonomous AS 'BEGIN RETURN ''old '' || i; END';
SELECT i, regress_changing(i), CASE i WHEN 2 THEN autonomous_exec($$
    CREATE OR REPLACE FUNCTION regress_changing(i int) RETURNS text LANGUAGE plpgsql_autonomous AS 'BEGIN RETURN ''new '' || i; END' $$)
    WHEN 4 THEN autonomous_exec('ALTER FUNCTION regress_changing(int) COST 7')
    WHEN 5 THEN autonomous_exec('GRANT EXECUTE ON FUNCTION regress_changing(int) TO PUBLIC') END AS ddl
FROM generate_series(1, 6) i;
DO $$
DECLARE
    said text[];
BEGIN
    FOR i IN 1..4 LOOP
        said := said || regress_changing(i);
        PERFORM autonomous_exec(format('CREATE OR REPLACE FUNCTION regress_changing(i int) RETURNS text LANGUAGE plpgsql_autonomous AS
            ''BEGIN RETURN %s; END''', i * 100));
    END LOOP;
    IF said <> '{new 1,100,200,300}' THEN
        RAISE EXCEPTION '%', said;
    END IF;
END
$$;
BEGIN;
SELECT regress_changing(1);
SELECT autonomous_exec('DROP FUNCTION regress_changing(int)');
SELECT regress_changing(2);
ROLLBACK;
CREATE FUNCTION regress_changing(i int) RETURNS int LANGUAGE plpgsql_autonomous AS 'BEGIN RETURN i; END';
SELECT regress_changing(3);
-- replaced by its own run
CREATE FUNCTION regress_renews() RETURNS int LANGUAGE plpgsql_autonomous AS $$
BEGIN
    CREATE OR REPLACE FUNCTION regress_renews() RETURNS int LANGUAGE plpgsql_autonomous AS 'BEGIN RETURN 2; END';
    RETURN 1;
END
$$;
SELECT regress_renews();
SELECT regress_renews();
CREATE FUNCTION regress_drops() RETURNS int LANGUAGE plpgsql_autonomous AS 'BEGIN DROP FUNCTION regress_drops(); COMMIT; RETURN 1; END';
SELECT regress_drops();
SELECT regress_drops();
-- a result type that another session alters between two calls
CREATE TYPE regress_shape AS (a int, b text);
CREATE FUNCTION regress_shaped() RETURNS regress_shape LANGUAGE plpgsql_autonomous AS 'BEGIN RETURN (1, ''b''::text)::regress_shape; END';
CREATE FUNCTION regress_shapes(ddl text) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    said text[];
BEGIN
    FOR i IN 1..3 LOOP
        BEGIN
            said := said || regress_shaped()::text;
        EXCEPTION WHEN OTHERS THEN
            said := said || SQLSTATE::text;
        END;
        IF i = 1 THEN
            PERFORM autonomous_exec(ddl);
        END IF;
    END LOOP;
    RETURN said;
END
$$;
SELECT regress_shapes('ALTER TYPE regress_shape DROP ATTRIBUTE b, ADD ATTRIBUTE c int;
    CREATE OR REPLACE FUNCTION regress_shaped() RETURNS regress_shape LANGUAGE plpgsql_autonomous AS ''BEGIN RETURN (1, 2); END''');
SELECT regress_shapes('ALTER TYPE regress_shape ALTER ATTRIBUTE c TYPE text;
    CREATE OR REPLACE FUNCTION regress_shaped() RETURNS regress_shape LANGUAGE plpgsql_autonomous AS ''BEGIN RETURN (1, ''''text''''::text); END''');
SELECT * FROM regress_shaped();

-- a column's type, compiled into the routine: a session of PL/pgSQL fails for the rest of its life, a worker makes room for another
CREATE TABLE regress_typed (x int);
CREATE FUNCTION regress_typed_t() RETURNS trigger LANGUAGE plpgsql_autonomous AS
    'BEGIN RAISE NOTICE ''% %'', pg_typeof(NEW.x), NEW.x; RETURN NEW; END';
CREATE TRIGGER regress_tr BEFORE INSERT ON regress_typed FOR EACH ROW EXECUTE FUNCTION regress_typed_t();
\set VERBOSITY terse
INSERT INTO regress_typed VALUES (1);
ALTER TABLE regress_typed ALTER x TYPE text;
DO $$
BEGIN
    FOR i IN 1..20 LOOP
        BEGIN
            INSERT INTO regress_typed VALUES ('two');
            EXIT;
        EXCEPTION WHEN datatype_mismatch THEN
            NULL;
        END;
    END LOOP;
END
$$;
\set VERBOSITY sqlstate
SELECT * FROM regress_typed ORDER BY 1;
DROP TABLE regress_typed;
DROP FUNCTION regress_typed_t();

-- recursion, to the limit
CREATE FUNCTION regress_recursive(n int) RETURNS int LANGUAGE plpgsql_autonomous AS $$
BEGIN
    INSERT INTO regress_t VALUES (n, 'recursive');
    RETURN CASE WHEN n = 0 THEN 0 ELSE 1 + regress_recursive(n - 1) END;
END
$$;
TRUNCATE regress_t;
SET aside.max_depth = 3;
BEGIN;
SELECT regress_recursive(2);
ROLLBACK;
SELECT count(*) FROM regress_t;
TRUNCATE regress_t;
SELECT regress_recursive(3);
SELECT count(*) FROM regress_t;
CREATE FUNCTION regress_endless() RETURNS int LANGUAGE plpgsql_autonomous AS
    'BEGIN RETURN 1 + regress_endless(); EXCEPTION WHEN statement_too_complex THEN RETURN 1; END';
SELECT regress_endless();
RESET aside.max_depth;

-- what hides in front of the server's names is what the routine's own text meets, and no more than in PL/pgSQL
CREATE SCHEMA regress_evil;
CREATE FUNCTION regress_evil.lower(text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''trapped''; END';
CREATE FUNCTION regress_evil.set_config(text, text, boolean) RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''trapped''; END';
CREATE FUNCTION regress_evil.trap(text, text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''trapped''; END';
CREATE FUNCTION regress_evil.trap(int, int) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''trapped''; END';
CREATE FUNCTION regress_evil.trap(name, name) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''trapped''; END';
CREATE FUNCTION regress_evil.trap(oid, oid) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''trapped''; END';
CREATE OPERATOR regress_evil.= (FUNCTION = regress_evil.trap, LEFTARG = text, RIGHTARG = text);
CREATE OPERATOR regress_evil.= (FUNCTION = regress_evil.trap, LEFTARG = int, RIGHTARG = int);
CREATE OPERATOR regress_evil.= (FUNCTION = regress_evil.trap, LEFTARG = name, RIGHTARG = name);
CREATE OPERATOR regress_evil.= (FUNCTION = regress_evil.trap, LEFTARG = oid, RIGHTARG = oid);
CREATE TYPE regress_evil.int4 AS ENUM ('trapped');
CREATE FUNCTION public.regress_path(x int, OUT path text, OUT y int) LANGUAGE plpgsql_autonomous AS
    'BEGIN path := current_setting(''search_path''); y := x; INSERT INTO regress_found VALUES (y); END';
CREATE FUNCTION public.regress_path_trigger() RETURNS trigger LANGUAGE plpgsql_autonomous AS
    'BEGIN INSERT INTO regress_found VALUES (NEW.n); RETURN NEW; END';
CREATE TABLE regress_evil.regress_found (n pg_catalog.int4);
CREATE TABLE public.regress_found (n pg_catalog.int4);
CREATE TRIGGER regress_tr BEFORE INSERT ON regress_t FOR EACH ROW EXECUTE FUNCTION public.regress_path_trigger();
SET search_path = regress_evil, pg_catalog;
SELECT * FROM public.regress_path(1);
INSERT INTO public.regress_t VALUES (2);
DO LANGUAGE plpgsql_autonomous 'BEGIN INSERT INTO regress_found VALUES (3); END';
CREATE FUNCTION regress_evil.made_here() RETURNS pg_catalog.int4 LANGUAGE plpgsql_autonomous AS 'BEGIN RETURN 1; END';
SELECT made_here();
SET search_path = public;
SELECT * FROM public.regress_path(4);
INSERT INTO public.regress_t VALUES (5);
SET search_path = '';
SELECT * FROM public.regress_path(6);
RESET search_path;
SELECT tableoid::regclass, * FROM regress_evil.regress_found UNION ALL SELECT tableoid::regclass, * FROM regress_found ORDER BY 2;

\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA regress_evil CASCADE;
DROP TABLE regress_t, regress_found;
DROP PROCEDURE regress_fresh(int);
DROP FUNCTION regress_outer(), regress_inner(), regress_any(anyelement), regress_changing(int), regress_renews(),
    regress_shaped(), regress_shapes(text), regress_recursive(int), regress_endless(), regress_path(int), regress_path_trigger();
DROP TYPE regress_shape;
