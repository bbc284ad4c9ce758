-- Claim: result columns match by position, by the same type or a cast that
-- assignment allows; anything else, or another number of columns, is 42804
-- and names the column, and nothing is committed.
\set VERBOSITY sqlstate
CREATE TABLE regress_t (id int, x text);
CREATE FUNCTION regress_try(call text, OUT code text, OUT names_bad boolean)
LANGUAGE plpgsql AS $$
DECLARE
    m text; d text;
BEGIN
    EXECUTE call;
    code := 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL;
    code := SQLSTATE;
    names_bad := m || d LIKE '%bad_column%';
END
$$;

-- casts that assignment allows
SELECT *, pg_typeof(a) AS ta, pg_typeof(b) AS tb, pg_typeof(c) AS tc, pg_typeof(d) AS td
FROM autonomous_query('SELECT 1::int4, ''v''::varchar, 1.5::numeric, 7::int8') AS (a int8, b text, c int4, d int2);
SELECT *, octet_length(b) FROM autonomous_query('SELECT ''abc''::text, ''d'', 12, true') AS (a varchar(3), b char(4), c text, d text);
SELECT * FROM autonomous_query('SELECT 123.456') AS (a numeric(5,1));
SELECT * FROM autonomous_query('SELECT date ''2024-02-29''') AS (a timestamp);
SELECT * FROM autonomous_query('SELECT 5') AS (other_name float8);
SELECT * FROM autonomous_query('SELECT NULL, NULL::int') AS (a text, b int8);
SELECT * FROM autonomous_query('SELECT array[1,2]') AS (a int8[]);
-- as assignment does, so are their errors
SELECT * FROM autonomous_query('SELECT ''abcd''::text') AS (a varchar(3));
SELECT * FROM autonomous_query('SELECT ''abc   ''::text') AS (a varchar(3));
SELECT * FROM autonomous_query('SELECT 3000000000') AS (a int);
SELECT * FROM autonomous_query('SELECT 12345.678') AS (a numeric(5,1));

-- domains
CREATE DOMAIN regress_positive AS int CHECK (value > 0);
SELECT *, pg_typeof(a) FROM autonomous_query('SELECT 1') AS (a regress_positive);
SELECT * FROM autonomous_query('SELECT -1') AS (a regress_positive);
SELECT *, pg_typeof(a) FROM autonomous_query('SELECT 1::regress_positive') AS (a int);

-- no such cast
SELECT call, t.* FROM unnest(ARRAY[
    $$SELECT * FROM autonomous_query('SELECT 1, ''x''::text') AS (a int, bad_column int)$$,
    $$SELECT * FROM autonomous_query('SELECT 1, true') AS (a int, bad_column int)$$,
    $$SELECT * FROM autonomous_query('SELECT 1, current_date') AS (a int, bad_column int)$$,
    $$SELECT * FROM autonomous_query('SELECT 1, array[1]') AS (a int, bad_column int)$$,
    $$SELECT * FROM autonomous_query('SELECT ''{}''::jsonb') AS (bad_column int[])$$,
    $$SELECT * FROM autonomous_query('SELECT ''x''::text') AS (bad_column jsonb)$$,
    $$SELECT * FROM autonomous_query('SELECT 1, 2') AS (a int, b int, bad_column int)$$,
    $$SELECT * FROM autonomous_query('SELECT 1, 2 AS bad_column') AS (a int)$$,
    $$SELECT * FROM autonomous_query('SELECT FROM regress_t') AS (bad_column int)$$
]) WITH ORDINALITY AS c(call, n), regress_try(call) t ORDER BY n;

-- refused even without a row, and before any effect stays
SELECT * FROM autonomous_query('SELECT 1, 2 WHERE false') AS (a int);
SELECT * FROM autonomous_query('SELECT ''x''::text WHERE false') AS (a int);
SELECT * FROM autonomous_query('INSERT INTO regress_t VALUES (1, ''x'') RETURNING x') AS (a int);
SELECT * FROM autonomous_query('INSERT INTO regress_t VALUES (1, ''x'') RETURNING *') AS (a int);
SELECT * FROM autonomous_query('INSERT INTO regress_t VALUES (1, ''x'')') AS (a int);
SELECT * FROM autonomous_query('INSERT INTO regress_t VALUES (1, ''x''); SELECT 1, 2') AS (a int);
SELECT * FROM autonomous_query_as(NULL::int, 'INSERT INTO regress_t VALUES (1, ''x'') RETURNING *');
SELECT * FROM autonomous_query_as(NULL::regress_t, 'INSERT INTO regress_t VALUES (1, ''x'') RETURNING id');
SELECT * FROM autonomous_query_as(NULL::regress_t, 'INSERT INTO regress_t VALUES (1, ''x'') RETURNING x, id');
SELECT count(*) AS rows_of_refused FROM regress_t;

-- a set of records needs its column list
SELECT * FROM autonomous_query('SELECT 1');
SELECT autonomous_query('INSERT INTO regress_t VALUES (1)');
SELECT count(*) AS rows_of_refused FROM regress_t;

-- query_as: composite, with dropped columns, scalar, domain, array
ALTER TABLE regress_t ADD gone int, ADD kept bigint;
ALTER TABLE regress_t DROP gone, DROP x;
INSERT INTO regress_t VALUES (1, 10), (2, NULL);
SELECT * FROM autonomous_query_as(NULL::regress_t, 'SELECT * FROM regress_t ORDER BY id');
SELECT r.kept, r FROM autonomous_query_as(NULL::regress_t, 'SELECT 3::int2, 4::int2') r;
SELECT * FROM autonomous_query_as(ROW(0, 0)::regress_t, 'TABLE regress_t') WHERE kept IS NULL;
SELECT * FROM autonomous_query_as(NULL::regress_t, 'SELECT 3');
SELECT *, pg_typeof(s) FROM autonomous_query_as(NULL::int8, 'SELECT generate_series(1, 2)') s;
SELECT *, pg_typeof(s) FROM autonomous_query_as(''::text, 'SELECT $1', 5) s;
SELECT *, pg_typeof(s) FROM autonomous_query_as(1::regress_positive, 'SELECT 5') s;
SELECT * FROM autonomous_query_as(1::regress_positive, 'SELECT -5');
SELECT *, pg_typeof(s) FROM autonomous_query_as(NULL::text[], 'SELECT array[''a'', NULL]') s;
SELECT autonomous_query_as(NULL::int, 'SELECT generate_series(1, 3)') AS in_the_select_list;
SELECT * FROM autonomous_query_as(ROW(1, 2), 'SELECT 1, 2');
SELECT * FROM autonomous_query_as(NULL, 'SELECT 1');

-- what is to return the rows is not there
SELECT * FROM autonomous_query('EXECUTE regress_nope') AS (a int);
SELECT * FROM autonomous_query('FETCH regress_gone') AS (a int);
SELECT * FROM autonomous_query('MOVE regress_gone') AS (a int);

DROP FUNCTION regress_try(text);
DROP TABLE regress_t;
DROP DOMAIN regress_positive;
