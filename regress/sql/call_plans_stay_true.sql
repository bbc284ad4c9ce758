-- Claim: a repeated command's kept plan is never a stale one: it survives
-- ALTER, DROP and CREATE, replaced functions, another search_path, other
-- argument types, another role under row security, and a cache overrun.
\set VERBOSITY sqlstate
CREATE TABLE regress_t (a int, b text);
INSERT INTO regress_t VALUES (1, 'one');
CREATE FUNCTION regress_all() RETURNS SETOF jsonb LANGUAGE sql AS
    $$SELECT autonomous_json('SELECT * FROM regress_t ORDER BY 1')$$;
CREATE FUNCTION regress_add(v anyelement) RETURNS bigint LANGUAGE plpgsql AS
    $$BEGIN RETURN autonomous_exec('INSERT INTO regress_t VALUES ($1)', v); END$$;

SELECT count(*) FROM (SELECT regress_all() FROM generate_series(1, 10)) q;
SELECT sum(regress_add(g)) FROM generate_series(2, 8) g;
SELECT count(*) FROM regress_all();

-- columns come, go and change type
ALTER TABLE regress_t ADD c int DEFAULT 7;
SELECT * FROM regress_all() LIMIT 1;
ALTER TABLE regress_t DROP b;
SELECT * FROM regress_all() LIMIT 1;
SELECT regress_add(9);
ALTER TABLE regress_t ALTER a TYPE text USING 'n' || a;
SELECT * FROM regress_all() LIMIT 1;
SELECT regress_add(10);
SELECT regress_add('eleven'::text);
ALTER TABLE regress_t RENAME a TO renamed;
SELECT * FROM regress_all() LIMIT 1;
SELECT * FROM autonomous_query('SELECT * FROM regress_t LIMIT 1') AS (a text, c int);
ALTER TABLE regress_t DROP c;
SELECT * FROM autonomous_query('SELECT * FROM regress_t LIMIT 1') AS (a text, c int);
SELECT * FROM autonomous_query('SELECT * FROM regress_t LIMIT 1') AS (a text);

-- dropped and made anew, as a table and as a view
DROP TABLE regress_t;
SELECT * FROM regress_all();
CREATE TABLE regress_t (a bigint);
SELECT regress_add(3000000000);
SELECT regress_add(1);
SELECT * FROM regress_all();
ALTER TABLE regress_t RENAME TO regress_base;
CREATE VIEW regress_t AS SELECT -a AS a FROM regress_base;
SELECT * FROM regress_all();
SELECT regress_add(5);
SELECT * FROM regress_all();
DROP VIEW regress_t;
-- a constraint, a trigger and a default that come later
ALTER TABLE regress_base RENAME TO regress_t;
ALTER TABLE regress_t ADD CONSTRAINT small CHECK (a < 10) NOT VALID;
SELECT regress_add(11);
ALTER TABLE regress_t DROP CONSTRAINT small;
SELECT regress_add(11);

-- functions replaced, inlined or not
CREATE FUNCTION regress_f() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
CREATE FUNCTION regress_g() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
SELECT count(*) FROM (SELECT autonomous_json('SELECT regress_f(), regress_g()') FROM generate_series(1, 8)) q;
CREATE OR REPLACE FUNCTION regress_f() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2';
CREATE OR REPLACE FUNCTION regress_g() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 2; END';
SELECT * FROM autonomous_query('SELECT regress_f(), regress_g()') AS (f int, g int);
DROP FUNCTION regress_f();
SELECT * FROM autonomous_query('SELECT regress_f(), regress_g()') AS (f int, g int);
CREATE FUNCTION regress_f() RETURNS text LANGUAGE sql AS $$SELECT 'text now'::text$$;
SELECT * FROM autonomous_query('SELECT regress_f(), regress_g()') AS (f text, g int);

-- another search_path
CREATE SCHEMA regress_one;
CREATE SCHEMA regress_two;
CREATE TABLE regress_one.p AS SELECT 1 AS x;
CREATE TABLE regress_two.p AS SELECT 'two'::text AS x;
CREATE FUNCTION regress_p() RETURNS jsonb LANGUAGE sql AS $$SELECT public.autonomous_json('SELECT x FROM p')$$;
SET search_path = regress_one, public;
SELECT regress_p() FROM generate_series(1, 7) OFFSET 6;
SET search_path = regress_two, public;
SELECT regress_p() FROM generate_series(1, 7) OFFSET 6;
SET search_path = regress_one, public;
SELECT regress_p();
SET search_path = regress_two, public;
SELECT regress_p();
RESET search_path;
SELECT autonomous_exec('SELECT x FROM p');
DROP FUNCTION regress_p();
DROP TABLE regress_one.p, regress_two.p;
DROP SCHEMA regress_one, regress_two;

-- the same text, other types of arguments
SELECT * FROM autonomous_query('SELECT pg_typeof($1)::text', 1) AS (t text);
SELECT * FROM autonomous_query('SELECT pg_typeof($1)::text', 1.0) AS (t text);
SELECT * FROM autonomous_query('SELECT pg_typeof($1)::text', 'x'::text) AS (t text);
SELECT * FROM autonomous_query('SELECT pg_typeof($1)::text', 1) AS (t text);
SELECT * FROM autonomous_query('SELECT pg_typeof($1 + 1)::text', '1') AS (t text);
SELECT * FROM autonomous_query('SELECT pg_typeof($1 + 1)::text', 1::int8) AS (t text);

-- another role under row security, and row security coming and going
CREATE ROLE regress_aside_a IN ROLE aside_user;
CREATE ROLE regress_aside_b IN ROLE aside_user;
CREATE TABLE regress_rls AS SELECT unnest(ARRAY['regress_aside_a', 'regress_aside_b', 'nobody']) AS owner;
GRANT SELECT ON regress_rls TO PUBLIC;
CREATE POLICY own ON regress_rls USING (owner = current_user);
CREATE FUNCTION regress_seen() RETURNS text LANGUAGE sql AS
    $$SELECT string_agg(o, ' ') FROM autonomous_query('SELECT owner FROM regress_rls') AS (o text)$$;
SET ROLE regress_aside_a;
SELECT regress_seen() FROM generate_series(1, 7) OFFSET 6;
RESET ROLE;
ALTER TABLE regress_rls ENABLE ROW LEVEL SECURITY;
SET ROLE regress_aside_a;
SELECT regress_seen() FROM generate_series(1, 7) OFFSET 6;
SET ROLE regress_aside_b;
SELECT regress_seen();
RESET ROLE;
SELECT regress_seen();
ALTER POLICY own ON regress_rls USING (owner = 'nobody');
SET ROLE regress_aside_a;
SELECT regress_seen();
RESET ROLE;
-- privileges are asked at each call
REVOKE SELECT ON regress_rls FROM PUBLIC;
SET ROLE regress_aside_a;
SELECT regress_seen();
RESET ROLE;

-- more commands than the cache holds, and each again
SELECT sum(n) FROM (SELECT autonomous_query_as(NULL::int, 'SELECT ' || g) AS n
                    FROM generate_series(1, 2) r, generate_series(1, 400) g) q;
SELECT * FROM regress_all();
-- statements whose plan depends on what an earlier one of them made
SELECT autonomous_exec('CREATE TEMP TABLE regress_tmp AS SELECT $1 AS v; SELECT * FROM regress_tmp', g) FROM generate_series(1, 3) g;
SELECT * FROM autonomous_query('CREATE TEMP TABLE regress_tmp AS SELECT 1 AS v; SELECT v FROM regress_tmp') AS (v int);
SELECT * FROM autonomous_query('CREATE TEMP TABLE regress_tmp AS SELECT 1 AS v; SELECT v FROM regress_tmp') AS (v int);
SELECT * FROM autonomous_query('CREATE TEMP TABLE regress_tmp AS SELECT ''x''::text AS w, 1 AS v; SELECT * FROM regress_tmp') AS (w text, v int);
-- a command that fails does not spoil its plan
SELECT autonomous_exec('SELECT 1 / $1', 0);
SELECT autonomous_exec('SELECT 1 / $1', 1);
SELECT autonomous_exec('SELECT 1 / $1', 0);

DROP TABLE regress_t, regress_rls;
DROP FUNCTION regress_all(), regress_add(anyelement), regress_seen(), regress_f(), regress_g();
DROP ROLE regress_aside_a, regress_aside_b;
