-- Claim: $1...$n are typed by the arguments, NULL safe and binary; literals of
-- unknown type take the type the statement infers; too few and too many
-- arguments, and arguments without a type of their own, are refused.
\set VERBOSITY sqlstate
CREATE TYPE regress_mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE regress_pair AS (n int, t text);
CREATE DOMAIN regress_positive AS int CHECK (value > 0);
CREATE TABLE regress_kept (what text, typ text, val text);
CREATE FUNCTION regress_keep() RETURNS text LANGUAGE sql RETURN
    'INSERT INTO regress_kept VALUES ($1, pg_typeof($2)::text, $2::text)'::text;

-- each type arrives as it is
SELECT autonomous_exec(regress_keep(), 'int2'::text, (-32768)::int2);
SELECT autonomous_exec(regress_keep(), 'int4'::text, 2147483647);
SELECT autonomous_exec(regress_keep(), 'int8'::text, (-9223372036854775808)::int8);
SELECT autonomous_exec(regress_keep(), 'bool'::text, true);
SELECT autonomous_exec(regress_keep(), 'float8'::text, 'NaN'::float8);
SELECT autonomous_exec(regress_keep(), 'float4'::text, '-0'::float4);
SELECT autonomous_exec(regress_keep(), 'numeric'::text, 123456789012345678901234567890.0123456789);
SELECT autonomous_exec(regress_keep(), 'text'::text, E'quote'' back\\slash $1 %s \n line'::text);
SELECT autonomous_exec(regress_keep(), 'empty'::text, ''::text);
SELECT autonomous_exec(regress_keep(), 'varchar'::text, 'v'::varchar(5));
SELECT autonomous_exec(regress_keep(), 'char'::text, 'c'::char(5));
SELECT autonomous_exec(regress_keep(), 'name'::text, 'n'::name);
SELECT autonomous_exec(regress_keep(), 'bytea'::text, '\x00ff00'::bytea);
SELECT autonomous_exec(regress_keep(), 'timestamptz'::text, '2024-02-29 12:34:56.789012+00'::timestamptz);
SELECT autonomous_exec(regress_keep(), 'date'::text, 'infinity'::date);
SELECT autonomous_exec(regress_keep(), 'interval'::text, '1 mon -2 days 03:04:05'::interval);
SELECT autonomous_exec(regress_keep(), 'uuid'::text, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid);
SELECT autonomous_exec(regress_keep(), 'jsonb'::text, '{"a": [1, null, "x"]}'::jsonb);
SELECT autonomous_exec(regress_keep(), 'array'::text, '[0:1][2:3]={{1,NULL},{3,4}}'::int[]);
SELECT autonomous_exec(regress_keep(), 'text array'::text, ARRAY['a,b', '', NULL, '"']);
SELECT autonomous_exec(regress_keep(), 'range'::text, int4range(1, 5));
SELECT autonomous_exec(regress_keep(), 'multirange'::text, '{[1,2),[5,6)}'::int4multirange);
SELECT autonomous_exec(regress_keep(), 'enum'::text, 'happy'::regress_mood);
SELECT autonomous_exec(regress_keep(), 'domain'::text, 5::regress_positive);
SELECT autonomous_exec(regress_keep(), 'composite'::text, (1, 'one')::regress_pair);
SELECT autonomous_exec(regress_keep(), 'composites'::text, ARRAY[(1, NULL), NULL]::regress_pair[]);
SELECT autonomous_exec(regress_keep(), 'row type'::text, ('w', NULL, 'x')::regress_kept);
SELECT autonomous_exec(regress_keep(), 'regclass'::text, 'regress_kept'::regclass);
SELECT * FROM regress_kept;
TRUNCATE regress_kept;

-- NULLs, typed and not
SELECT * FROM autonomous_query('SELECT $1 IS NULL, $2 IS NULL, $3, pg_typeof($4)::text',
    NULL::int, NULL::regress_pair, NULL::text[], NULL::numeric) AS (a bool, b bool, c text[], d text);
SELECT * FROM autonomous_query('SELECT $1::int IS NULL, coalesce($2, 7)', NULL, NULL) AS (a bool, b int);

-- literals of unknown type take the type that the statement infers
SELECT * FROM autonomous_query('SELECT $1 + 1, pg_typeof($1)::text', '41') AS (a int, t text);
SELECT * FROM autonomous_query('SELECT $1 < current_date, pg_typeof($1)::text', '2001-02-03') AS (a bool, t text);
SELECT * FROM autonomous_query('SELECT $1', 'stays text') AS (a text);
SELECT * FROM autonomous_query('SELECT $1 = ANY ($2)', 3, '{1,2,3}') AS (a bool);
CREATE TABLE regress_typed (d date, m regress_mood, p regress_pair, j jsonb, a int[]);
SELECT autonomous_exec('INSERT INTO regress_typed VALUES ($1, $2, $3, $4, $5)',
    '2024-02-29', 'sad', '(1,"a b")', '{"k": null}', '{1,2}');
SELECT (to_jsonb(t)) FROM regress_typed t;
SELECT autonomous_exec('INSERT INTO regress_typed (d) VALUES ($1)', 'not a date');
SELECT autonomous_exec('INSERT INTO regress_typed (m) VALUES ($1)', 'furious');
SELECT autonomous_exec('SELECT $1::regress_positive', '-1');
-- inferred for each statement anew, and from what an earlier one made
SELECT autonomous_exec('CREATE TABLE regress_new (d date); INSERT INTO regress_new VALUES ($1)', '2024-02-29');
SELECT to_char(d, 'YYYY-MM-DD') FROM regress_new;

-- large values, compressed or not, in place or toasted, even from uncommitted rows
SELECT * FROM autonomous_query('SELECT length($1), md5($1)', repeat('x', 1000000)) AS (n int, m text)
WHERE m = md5(repeat('x', 1000000));
BEGIN;
CREATE TABLE regress_big (b text, c regress_pair);
ALTER TABLE regress_big ALTER b SET STORAGE EXTERNAL;
INSERT INTO regress_big SELECT s, ROW(1, s)::regress_pair FROM
    (SELECT string_agg(md5(g::text), '') AS s FROM generate_series(1, 5000) g) x;
SELECT q.n, q.m = md5(b) AS same, q.cn, q.cm = md5((c).t) AS csame
FROM regress_big, autonomous_query('SELECT length($1), md5($1), length(($2).t), md5(($2).t)', b, c)
    AS q(n int, m text, cn int, cm text);
ROLLBACK;
-- a PL/pgSQL variable's expanded form
DO $$
DECLARE
    a int[] := '{}';
    p regress_pair;
BEGIN
    FOR i IN 1..5 LOOP a[i] := i * i; END LOOP;
    p.n := 9; p.t := repeat('t', 3);
    PERFORM autonomous_exec(regress_keep(), 'expanded array'::text, a);
    PERFORM autonomous_exec(regress_keep(), 'expanded row'::text, p);
END
$$;
SELECT * FROM regress_kept;

-- VARIADIC: the elements are the arguments, as in format()
SELECT * FROM autonomous_query('SELECT $1 + $2 + coalesce($3, 100)', VARIADIC ARRAY[1, 2, NULL]) AS (a int);
SELECT * FROM autonomous_query('SELECT $1 || $2', VARIADIC ARRAY['a', 'b']) AS (a text);
SELECT autonomous_exec('SELECT 1', VARIADIC '{}'::int[]) AS none;
SELECT * FROM autonomous_query('SELECT cardinality($1)', ARRAY[1, 2, NULL]) AS (not_spread int);

-- many arguments
SELECT n FROM autonomous_query((SELECT 'SELECT ' || string_agg('$' || g, '+') FROM generate_series(1, 1000) g),
    VARIADIC (SELECT array_agg(g) FROM generate_series(1, 1000) g)) AS (n bigint);
-- in an order, and a number of times, of the command's own; across statements
SELECT * FROM autonomous_query('SELECT $2, $1, $2', 1, 'two'::text) AS (a text, b int, c text);
SELECT * FROM autonomous_query('SELECT $1; SELECT $2', 1, 2) AS (a int);

-- too few, too many
SELECT autonomous_exec('SELECT $1');
SELECT autonomous_exec('SELECT $1, $2', 1);
SELECT autonomous_exec('SELECT 1', 1);
SELECT autonomous_exec('SELECT $1', 1, 2);
SELECT autonomous_exec('INSERT INTO regress_new VALUES (NULL)', '2024-01-01');
SELECT autonomous_exec('CREATE TABLE regress_never ()', 1);
SELECT to_regclass('regress_never') IS NULL AS never_made, (SELECT count(*) FROM regress_new) AS rows;

-- a row without a type of its own cannot travel; neither can one inside an array
SELECT autonomous_exec('SELECT $1', ROW(1, 2));
SELECT autonomous_exec('SELECT $1', ARRAY[ROW(1, 2)]);

-- a type that only the caller's transaction knows is an error, not a crash
BEGIN;
CREATE TYPE regress_uncommitted AS (a int);
\set VERBOSITY default
DO $$
BEGIN
    PERFORM autonomous_exec('SELECT $1', ROW(1)::regress_uncommitted);
    RAISE NOTICE 'accepted';
EXCEPTION WHEN OTHERS THEN
    RAISE NOTICE 'refused, internal error: %', SQLSTATE LIKE 'XX%';
END
$$;
\set VERBOSITY sqlstate
ROLLBACK;
SELECT autonomous_exec('SELECT 1') AS goes_on;

DROP TABLE regress_kept, regress_typed, regress_new;
DROP FUNCTION regress_keep();
DROP TYPE regress_mood, regress_pair;
DROP DOMAIN regress_positive;

-- a parameter of the caller's for which nobody has said a type: the hint says what to do, at every entry
\set VERBOSITY default
SELECT autonomous_exec('SELECT 1');
PREPARE untyped AS SELECT autonomous_exec('SELECT $1', $1);
PREPARE untyped AS SELECT * FROM autonomous_query('SELECT $1', $1) AS (a int);
PREPARE untyped AS SELECT * FROM autonomous_query_as(NULL::int, 'SELECT $1 + $2', 1, $1);
PREPARE untyped AS SELECT * FROM autonomous_json('SELECT $1', $1);
PREPARE untyped AS SELECT autonomous_session_exec('s', 'SELECT $1', $1);
PREPARE untyped AS SELECT * FROM autonomous_session_query('s', 'SELECT $1', $1) AS (a int);
PREPARE untyped AS SELECT autonomous_session_send('s', 'SELECT $1', $1);
PREPARE untyped AS SELECT async_exec('SELECT $1', $1);
PREPARE untyped AS SELECT async_exec_on_commit('SELECT $1', $1);
PREPARE untyped AS SELECT async_run(1, 'SELECT $1', $1);
PREPARE untyped AS WITH w AS (SELECT (SELECT async_exec('SELECT $1', $2)) AS a, $1::int) SELECT a FROM w;
PREPARE typed AS SELECT * FROM autonomous_query('SELECT $1, $2', $1::text, $2::int) AS (a text, b int);
EXECUTE typed('x', 2);
DEALLOCATE typed;
-- what is not ours is as it was
PREPARE untyped AS SELECT concat($1, 1);
