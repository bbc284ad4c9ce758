-- Claim: rows of any number and size come back, whole and in order; a reader
-- who stops early, several readers at once, and rows without rows or columns
-- do no harm; what comes back does not lean on the worker's own tables.
\set VERBOSITY sqlstate
CREATE TABLE regress_t (id int PRIMARY KEY, x text);

-- every kind of statement that returns rows
SELECT * FROM autonomous_query('INSERT INTO regress_t VALUES (1, ''a''), (2, NULL) RETURNING *') AS (id int, x text);
SELECT * FROM autonomous_query('UPDATE regress_t SET x = ''b'' WHERE id = 2 RETURNING id, x') AS (id int, x text);
SELECT * FROM autonomous_query('DELETE FROM regress_t RETURNING x') AS (x text) ORDER BY x;
SELECT * FROM autonomous_query('VALUES (1, ''one''), (2, ''two'')') AS (a int, b text);
SELECT v::int >= 150000 AS shown FROM autonomous_query('SHOW server_version_num') AS (v text);
SELECT count(*) >= 1 AS explained FROM autonomous_query('EXPLAIN SELECT 1') AS (line text);
SELECT * FROM autonomous_query('EXPLAIN (COSTS OFF) SELECT 1') AS (line text);
SELECT * FROM autonomous_query('DECLARE c CURSOR FOR SELECT generate_series(1, 9); MOVE 3 IN c; FETCH 2 FROM c') AS (a int);
SELECT * FROM autonomous_query('PREPARE p(int) AS SELECT $1 * 2; EXECUTE p(21)') AS (a int);
SELECT * FROM autonomous_query('TABLE regress_t') AS (id int, x text);
-- the last statement's rows, none of the others'
SELECT * FROM autonomous_query('SELECT 1, 2, 3; CREATE TABLE regress_u (a int); INSERT INTO regress_u VALUES (5) RETURNING a') AS (a int);

-- JSON: one object a row, named as the columns are
SELECT * FROM autonomous_json('SELECT 1 AS a, ''t''::text AS b, NULL::int AS c, true AS d, 1.50 AS e, array[1,2] AS f, ''{"k": [1]}''::jsonb AS g, ROW(1, ''x'') AS h');
SELECT * FROM autonomous_json('SELECT g FROM generate_series(1, 3) g') AS j;
SELECT * FROM autonomous_json('INSERT INTO regress_t VALUES (1, E''q"\\\\'') RETURNING *');
SELECT * FROM autonomous_json('SELECT');
SELECT * FROM autonomous_json('SELECT 1 WHERE false');
SELECT pg_typeof(j), j->>'a' AS a FROM autonomous_json('SELECT $1 AS a', 'arg') j;
SELECT autonomous_json('SELECT generate_series(1, 2) AS n');

-- joined, repeated, side by side
SELECT g, x FROM generate_series(1, 3) g, autonomous_query('SELECT $1 * 10 + n FROM generate_series(1, $1) n', g) AS (x int);
SELECT * FROM autonomous_query('SELECT generate_series(1, 3)') AS a(i int)
JOIN autonomous_query('SELECT generate_series(2, 4)') AS b(i int) USING (i) ORDER BY i;
SELECT * FROM ROWS FROM (autonomous_query('SELECT generate_series(1, 2)') AS (a int),
                         autonomous_query('SELECT generate_series(1, 3)') AS (b int)) WITH ORDINALITY;
SELECT autonomous_query_as(NULL::int, 'SELECT generate_series(1, 3)') AS a,
       autonomous_query_as(NULL::int, 'SELECT generate_series(11, 12)') AS b;

-- many rows
SELECT count(*), sum(a), bool_and(a = n) AS in_order
FROM ROWS FROM (autonomous_query('SELECT g, md5(g::text), repeat(''r'', 60) FROM generate_series(1, 200000) g')
                    AS (a int, b text, c text)) WITH ORDINALITY AS q(a, b, c, n);
SELECT autonomous_exec('SELECT generate_series(1, 200000)') AS counted;
SELECT count(*) FROM autonomous_json('SELECT generate_series(1, 20000) AS g');

-- left early, from a table and from a select list, by a cursor, by an error
SELECT count(*) FROM (SELECT * FROM autonomous_query('SELECT g, repeat(''r'', 60) FROM generate_series(1, 200000) g') AS (a int, b text) LIMIT 10) q;
SELECT count(*) FROM (SELECT autonomous_query_as(NULL::int, 'SELECT generate_series(1, 200000)') LIMIT 10) q;
BEGIN;
DECLARE c CURSOR FOR SELECT autonomous_query_as(NULL::int, 'SELECT generate_series(1, 200000)');
FETCH 2 FROM c;
DECLARE d CURSOR FOR SELECT autonomous_query_as(NULL::int, 'SELECT generate_series(1, 200000)');
FETCH 1 FROM d;
FETCH 2 FROM c;
CLOSE c;
SELECT autonomous_exec('SELECT 1');
FETCH 1 FROM d;
ROLLBACK;
SELECT 1 / (3 - a) FROM autonomous_query('SELECT generate_series(1, 200000)') AS (a int);
SELECT 1 / (3 - autonomous_query_as(NULL::int, 'SELECT generate_series(1, 200000)'));
-- an error of the worker after many rows is the error of the call
SELECT count(*) FROM autonomous_query('SELECT 1 / (150000 - g) FROM generate_series(1, 200000) g') AS (a int);
-- no worker was lost over it
SET aside.checkout_timeout = '2s';
SELECT count(*), sum(n) FROM (SELECT autonomous_exec('SELECT 1') AS n FROM generate_series(1, 100)) q;
RESET aside.checkout_timeout;

-- large values: an argument and a result of 20 MB, alone and among others
SELECT length(b), b = repeat('x', 20 * 1024 * 1024) AS same
FROM autonomous_query('SELECT repeat(''x'', 20 * 1024 * 1024)') AS (b text);
SELECT n, c = length(b) AS same_length, b = repeat('y', 20 * 1024 * 1024) AS same
FROM autonomous_query('SELECT 1, length($1), $1', repeat('y', 20 * 1024 * 1024)) AS (n int, c int, b text);
SELECT count(*), sum(length(b)) FROM autonomous_query('SELECT repeat(''z'', 1000000 + g) FROM generate_series(1, 20) g') AS (b text);

-- a value stored out of line in a table that ends with the command
SELECT n, length(x), md5(x) = m AS same
FROM autonomous_query('CREATE TEMP TABLE big AS SELECT 1 AS n, string_agg(md5(g::text), '''') AS x FROM generate_series(1, 20000) g;
                       SELECT n, x, md5(x) FROM big') AS (n int, x text, m text);
SELECT length(p.x) FROM autonomous_query_as(NULL::regress_t, 'CREATE TABLE regress_v AS SELECT 1 AS n, string_agg(md5(g::text), '''') AS x FROM generate_series(1, 20000) g;
                       WITH gone AS (DELETE FROM regress_v RETURNING *) SELECT * FROM gone') p;
SELECT length((r).x) FROM autonomous_query('CREATE TEMP TABLE regress_row (LIKE regress_t); INSERT INTO regress_row SELECT 1, string_agg(md5(g::text), '''') FROM generate_series(1, 20000) g;
                       SELECT ROW(id, x)::regress_t FROM regress_row') AS (r regress_t);
-- a row without a type of its own: right or refused, never another's shape
SELECT ROW('a'::text, 'b'::text, 'c'::text), ROW(1.5, now() IS NULL);
\set VERBOSITY default
DO $$
DECLARE
    r text;
BEGIN
    SELECT q.r::text INTO r FROM autonomous_query('SELECT ROW(1, ''a''::text)') AS q(r record);
    RAISE NOTICE 'right or refused: %', r = '(1,a)';
EXCEPTION WHEN feature_not_supported OR datatype_mismatch THEN
    RAISE NOTICE 'right or refused: %', true;
END
$$;

\set VERBOSITY sqlstate

-- columns beyond the usual
SELECT r->>'c1600' AS last FROM autonomous_json((SELECT 'SELECT ' || string_agg(format('%s AS c%s', g, g), ',') FROM generate_series(1, 1600) g)) r;

DROP TABLE regress_t, regress_u, regress_v;
