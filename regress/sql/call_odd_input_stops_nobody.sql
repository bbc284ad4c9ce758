-- Claim: what a hostile or unlucky command does to its worker neither ends the
-- server nor reaches the caller or the next command.
\set VERBOSITY sqlstate
-- no columns expected, none returned
CREATE TYPE regress_nothing AS ();
SELECT count(*) FROM autonomous_query_as(NULL::regress_nothing, 'CREATE TABLE regress_t (x int)');
SELECT count(*) FROM autonomous_query_as(NULL::regress_nothing, 'SELECT FROM generate_series(1, 3)');
DROP TYPE regress_nothing;

-- a session-level advisory lock is gone by the time that the call returns, well or badly
DO $$
BEGIN
    FOR i IN 1..200 LOOP
        PERFORM autonomous_exec('SELECT pg_advisory_lock(4711)');
        ASSERT pg_try_advisory_lock(4711);
        PERFORM pg_advisory_unlock(4711);
    END LOOP;
END
$$;
DO $$
BEGIN
    FOR i IN 1..100 LOOP
        BEGIN
            PERFORM autonomous_exec('SELECT pg_advisory_lock(4712); SELECT 1/0');
        EXCEPTION WHEN division_by_zero THEN
            ASSERT pg_try_advisory_lock(4712);
            PERFORM pg_advisory_unlock(4712);
        END;
    END LOOP;
END
$$;

-- a command that names a client encoding of its own
\set VERBOSITY default
DO $$
BEGIN
    IF getdatabaseencoding() = 'UTF8' THEN
        PERFORM autonomous_exec('SET client_encoding = GBK; DO $x$BEGIN RAISE NOTICE ''%'', chr(8364); END$x$');
    ELSE
        RAISE NOTICE '?';
    END IF;
END
$$;
\set VERBOSITY sqlstate
SELECT pg_client_encoding() = v AS as_before FROM autonomous_query('SELECT getdatabaseencoding()::text') AS (v text);

-- setseed is the command's own
SELECT autonomous_exec('SELECT setseed(0.25)');
SELECT r = (SELECT x FROM autonomous_query('SELECT random() FROM setseed(0.25)') AS (x float8)) AS predictable
FROM autonomous_query('SELECT random()') AS (r float8);

-- a custom setting that is empty is known; one that a library comes to define is left to it
BEGIN; SET LOCAL app.regress = '1'; SELECT autonomous_exec('SELECT 1'); COMMIT;
SELECT current_setting('app.regress') = v AS same FROM autonomous_query('SELECT current_setting(''app.regress'')') AS (v text);
\c -
\set VERBOSITY sqlstate
SET plpgsql.nonsense = '1';
SET plpgsql.variable_conflict = 'bogus';
-- a worker that loads PL/pgSQL just then warns of what it drops
SET client_min_messages = error;
SELECT autonomous_exec('DO $$BEGIN NULL; END$$');
SELECT autonomous_exec('SELECT 1');
RESET client_min_messages;
RESET plpgsql.nonsense;
RESET plpgsql.variable_conflict;

-- a composite type that the caller's own transaction has changed
CREATE TYPE regress_ct AS (a int, b text);
SELECT * FROM autonomous_query('SELECT $1', ROW(1, 'y')::regress_ct) AS (a regress_ct);
BEGIN;
ALTER TYPE regress_ct ALTER ATTRIBUTE a TYPE bigint;
SELECT autonomous_exec('SELECT $1', ROW(281474976710657, 'y')::regress_ct);
ROLLBACK;
BEGIN;
ALTER TYPE regress_ct ALTER ATTRIBUTE a TYPE bigint;
SELECT autonomous_exec('SELECT $1', ARRAY[ROW(281474976710657, 'y')::regress_ct]);
ROLLBACK;
SELECT * FROM autonomous_query('SELECT $1', ARRAY[ROW(1, 'y')::regress_ct]) AS (a regress_ct[]);
DROP TYPE regress_ct;

-- a demoted superuser is one in its worker too
CREATE ROLE regress_aside_demoted SUPERUSER LOGIN IN ROLE aside_user;
\c - regress_aside_demoted
SELECT autonomous_exec('SELECT 1');
ALTER ROLE regress_aside_demoted NOSUPERUSER;
\c -
\set VERBOSITY sqlstate
SELECT rolsuper FROM pg_roles WHERE rolname = current_user;
DO $$
BEGIN
    PERFORM autonomous_exec('SET SESSION AUTHORIZATION ' || quote_ident((SELECT rolname FROM pg_roles WHERE oid = 10)));
END
$$;
SELECT rolname AS super FROM pg_roles WHERE oid = 10 \gset
\c - :super
-- until 16 one that is demoted while it is connected has to connect again, and nothing worse comes of it
ALTER ROLE regress_aside_demoted SUPERUSER;
\c - regress_aside_demoted
ALTER ROLE regress_aside_demoted NOSUPERUSER;
DO $$
BEGIN
    PERFORM autonomous_exec('SELECT 1');
EXCEPTION WHEN insufficient_privilege THEN
    NULL;
END
$$;
\c - :super
DROP ROLE regress_aside_demoted;
SELECT autonomous_exec('DROP TABLE regress_t');

-- a worker's PL/pgSQL that was compiled for other types fails once, not for ever; the caller sees new objects at once
CREATE TABLE regress_shape (a int);
CREATE FUNCTION regress_shape_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF new.a IS NULL THEN RAISE NOTICE 'null'; END IF;
    RETURN new;
END
$$;
CREATE TRIGGER regress_shape_check BEFORE INSERT ON regress_shape FOR EACH ROW EXECUTE FUNCTION regress_shape_check();
SELECT autonomous_exec('INSERT INTO regress_shape VALUES (1)');
ALTER TABLE regress_shape ALTER a TYPE text;
\set VERBOSITY default
DO $$
BEGIN
    PERFORM autonomous_exec('INSERT INTO regress_shape VALUES (''x'')');
EXCEPTION WHEN datatype_mismatch THEN
    NULL;
END
$$;
\set VERBOSITY sqlstate
SELECT autonomous_exec('INSERT INTO regress_shape VALUES (''y'')');
DROP TABLE regress_shape;
DROP FUNCTION regress_shape_check();

-- a type within types within types is looked at once
DO $$
BEGIN
    CREATE TYPE regress_n0 AS (a int);
    FOR i IN 1..5 LOOP
        EXECUTE format('CREATE TYPE regress_n%s AS (%s)', i, (SELECT string_agg(format('c%s regress_n%s', c, i - 1), ', ') FROM generate_series(1, 10) c));
    END LOOP;
END
$$;
\set VERBOSITY default
SET statement_timeout = '10s';
SELECT autonomous_exec('SELECT $1, $60', VARIADIC array_fill(NULL::regress_n5, ARRAY[60]));
SELECT * FROM autonomous_query('SELECT NULL::regress_n5') AS (n regress_n5);
SELECT * FROM async_result(async_exec('SELECT NULL::regress_n5')) AS (n regress_n5);
RESET statement_timeout;
\set VERBOSITY sqlstate
DROP TYPE regress_n5, regress_n4, regress_n3, regress_n2, regress_n1, regress_n0;
