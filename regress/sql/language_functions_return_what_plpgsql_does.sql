-- Claim: a function in LANGUAGE plpgsql_autonomous takes the arguments and
-- returns the results, or raises the errors, of the same one in PL/pgSQL:
-- OUT, INOUT, VARIADIC, defaults, sets and tables, polymorphic, composite and
-- domain types, arrays, large values, NULLs, records, STRICT, collations.
\set VERBOSITY sqlstate
CREATE SCHEMA regress_plain;
CREATE SCHEMA regress_aside;
CREATE DOMAIN regress_positive AS int CHECK (VALUE > 0);
CREATE TYPE regress_mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE regress_pair AS (a int, b text);
CREATE DOMAIN regress_sorted_pair AS regress_pair CHECK ((VALUE).a IS NOT NULL);
CREATE TABLE regress_t (a int, gone text, b text, c numeric(6, 2), d regress_pair[]);
INSERT INTO regress_t VALUES (1, 'dropped', 'one', 1.5, ARRAY[(1, 'x')::regress_pair, NULL]), (2, 'too', NULL, NULL, '{}');
ALTER TABLE regress_t DROP COLUMN gone;

-- the same function in both languages
CREATE PROCEDURE regress_define(signature text, body text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE FUNCTION regress_plain.%s LANGUAGE plpgsql AS %L', signature, body);
    EXECUTE format('CREATE FUNCTION regress_aside.%s LANGUAGE plpgsql_autonomous AS %L', signature, body);
END
$$;
-- what a query over it gives or raises, and whether that is the same for both
CREATE FUNCTION regress_result(schema_name text, query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    rows text;
    f1 text; f2 text; f3 text; f4 text; f5 text; f6 text; f7 text; f8 text;
BEGIN
    PERFORM set_config('search_path', quote_ident(schema_name) || ', public', true);
    EXECUTE 'SELECT string_agg(q::text, '' '') FROM (' || query || ') q' INTO rows;
    RETURN coalesce(rows, '(no rows)');
EXCEPTION WHEN OTHERS OR assert_failure THEN
    GET STACKED DIAGNOSTICS f1 = MESSAGE_TEXT, f2 = PG_EXCEPTION_DETAIL, f3 = PG_EXCEPTION_HINT, f4 = SCHEMA_NAME,
        f5 = TABLE_NAME, f6 = COLUMN_NAME, f7 = CONSTRAINT_NAME, f8 = PG_DATATYPE_NAME;
    RETURN format('%s: %s', SQLSTATE, ARRAY[f1, f2, f3, f4, f5, f6, f7, f8]);
END
$$;
CREATE FUNCTION regress_same(query text, OUT result text, OUT same boolean) LANGUAGE plpgsql AS $$
DECLARE
    plain text := regress_result('regress_plain', query);
BEGIN
    result := regress_result('regress_aside', query);
    same := result = plain;
    IF NOT same THEN
        result := result || ' but ' || plain;
    ELSIF length(result) > 150 OR result ~ '^[0-9A-Z]{5}: ' THEN
        result := left(result, 5);
    END IF;
END
$$;

-- by value, by reference, fixed length, C string, NULL
CALL regress_define('f_bool(b boolean) RETURNS boolean', 'BEGIN RETURN NOT b; END');
CALL regress_define('f_int8(n bigint) RETURNS bigint', 'BEGIN RETURN n - 1; END');
CALL regress_define('f_float8(n float8) RETURNS float8', 'BEGIN RETURN n * 2; END');
CALL regress_define('f_words(t text) RETURNS text', 'BEGIN RETURN t || ''!''; END');
CALL regress_define('ids(t uuid) RETURNS uuid', 'BEGIN RETURN t; END');
CALL regress_define('f_names(t name) RETURNS name', 'BEGIN RETURN t || ''x''; END');
CALL regress_define('times(t timestamptz) RETURNS interval', 'BEGIN RETURN t - ''epoch''; END');
CALL regress_define('mood(m regress_mood) RETURNS regress_mood', 'BEGIN RETURN enum_last(m); END');
CALL regress_define('f_json(j jsonb) RETURNS jsonb', 'BEGIN RETURN j || ''{"b": [null, 1]}''; END');
CALL regress_define('nothing() RETURNS void', 'BEGIN NULL; END');
CALL regress_define('no_return() RETURNS int', 'BEGIN NULL; END');
SELECT result, same FROM unnest(ARRAY[
    'SELECT f_bool(true), f_bool(false), f_bool(NULL)',
    'SELECT f_int8(-9223372036854775807), f_int8(NULL)',
    'SELECT f_float8(0.1), f_float8(''Infinity''), f_float8(''NaN'')',
    'SELECT f_words(''''), f_words(NULL), f_words(''more words'')',
    'SELECT ids(''a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'')',
    'SELECT f_names(''n'')',
    'SELECT times(''1970-01-02 00:00+00'')',
    'SELECT mood(''sad''), mood(NULL)',
    'SELECT f_json(''{"a": 1}'')',
    'SELECT nothing()',
    'SELECT * FROM nothing()',
    'SELECT nothing() IS NULL',
    'SELECT no_return()',
    'SELECT f_int8(9223372036854775807) - f_int8(-9223372036854775808)']) AS query, regress_same(query);

-- large values, of a table and made here
CREATE TABLE regress_large AS SELECT string_agg(md5(i::text), '') AS t FROM generate_series(1, 30000) i;
ALTER TABLE regress_large ALTER t SET STORAGE EXTERNAL;
UPDATE regress_large SET t = t || 'x';
CALL regress_define('large(t text) RETURNS text', 'BEGIN RETURN t || t; END');
CALL regress_define('large_row() RETURNS regress_large', 'DECLARE r regress_large; BEGIN SELECT * INTO r FROM regress_large; RETURN r; END');
CALL regress_define('large_rows(n int) RETURNS SETOF regress_large', 'BEGIN FOR i IN 1..n LOOP RETURN QUERY SELECT * FROM regress_large; END LOOP; END');
SELECT result, same FROM unnest(ARRAY[
    'SELECT length(large(t)), md5(large(t)) = md5(t || t) FROM regress_large',
    'SELECT length(t) FROM large_row()',
    'SELECT count(*), sum(length(t)), count(DISTINCT t) FROM large_rows(5)']) AS query, regress_same(query);

-- OUT, INOUT, VARIADIC, defaults, names
CALL regress_define('outs(OUT a int, OUT b text)', 'BEGIN a := 1; b := NULL; END');
CALL regress_define('one_out(INOUT a int)', 'BEGIN a := a * 2; END');
CALL regress_define('in_and_out(a int, INOUT b text, OUT c numeric(6, 2)[])', 'BEGIN b := b || a; c := ARRAY[a, NULL, 1.255]; END');
CALL regress_define('variadics(VARIADIC n int[]) RETURNS int', 'BEGIN RETURN (SELECT sum(i) FROM unnest(n) i); END');
CALL regress_define('variadic_any(sep text, VARIADIC n anyarray) RETURNS text', 'BEGIN RETURN array_to_string(n, sep, ''-''); END');
CALL regress_define('defaults(a int, b int DEFAULT 10, c text DEFAULT NULL) RETURNS text', 'BEGIN RETURN format(''%s %s %s'', a, b, c); END');
SELECT result, same FROM unnest(ARRAY[
    'SELECT * FROM outs()', 'SELECT outs()', 'SELECT (outs()).b IS NULL',
    'SELECT one_out(4)', 'SELECT * FROM one_out(NULL)',
    'SELECT * FROM in_and_out(1, ''x'')', 'SELECT in_and_out(NULL, ''x'')',
    'SELECT variadics(1, 2, 3), variadics(VARIADIC ARRAY[4, NULL]), variadics(VARIADIC NULL)',
    'SELECT variadic_any(''/'', 1, 2, NULL), variadic_any('' '', ''a''::text), variadic_any(''/'', VARIADIC ARRAY[1.5, 2])',
    'SELECT defaults(1), defaults(1, 2), defaults(c => ''c'', a => 3)']) AS query, regress_same(query);

-- composite types, domains, arrays; a column that is no longer there
CALL regress_define('pair(p regress_pair) RETURNS regress_pair', 'BEGIN p.a := p.a + 1; RETURN p; END');
CALL regress_define('no_pair() RETURNS regress_pair', 'BEGIN RETURN NULL; END');
CALL regress_define('empty_pair() RETURNS regress_pair', 'BEGIN RETURN (NULL::int, NULL::text); END');
CALL regress_define('other_row() RETURNS regress_pair', 'BEGIN RETURN ROW(1, 2, 3); END');
CALL regress_define('castable_row() RETURNS regress_pair', 'BEGIN RETURN ROW(1::smallint, 2); END');
CALL regress_define('a_row(t regress_t) RETURNS regress_t', 'BEGIN t.c := 1.255; RETURN t; END');
CALL regress_define('whole_row() RETURNS regress_t', 'DECLARE r record; BEGIN SELECT t INTO r FROM regress_t t WHERE a = 1; RETURN r.t; END');
CALL regress_define('some_rows(t regress_t[]) RETURNS regress_t[]', 'BEGIN RETURN t || t[1] || NULL::regress_t; END');
CALL regress_define('positive(n int) RETURNS regress_positive', 'BEGIN RETURN n; END');
CALL regress_define('from_positive(n regress_positive) RETURNS int', 'BEGIN RETURN -n; END');
CALL regress_define('positives(n int[]) RETURNS regress_positive[]', 'BEGIN RETURN n; END');
CALL regress_define('sorted(a int) RETURNS regress_sorted_pair', 'BEGIN RETURN ROW(a, ''s'')::regress_pair; END');
CALL regress_define('unsorted(p regress_sorted_pair) RETURNS text', 'BEGIN RETURN (p).b; END');
CALL regress_define('arrays(a int[]) RETURNS int[]', 'BEGIN a[5] := 5; RETURN a; END');
CALL regress_define('ranges(r int4range) RETURNS int4multirange', 'BEGIN RETURN int4multirange(r, int4range(100, 200)); END');
SELECT result, same FROM unnest(ARRAY[
    'SELECT pair((1, ''x'')), pair(NULL), pair((NULL, NULL))',
    'SELECT * FROM pair((1, NULL))',
    'SELECT no_pair(), no_pair() IS NULL', 'SELECT * FROM no_pair()',
    'SELECT empty_pair(), empty_pair() IS NULL', 'SELECT other_row()', 'SELECT castable_row()',
    'SELECT a_row(t) FROM regress_t t', 'SELECT (a_row(t)).* FROM regress_t t', 'SELECT r.* FROM regress_t t, a_row(t) r',
    'SELECT whole_row()', 'SELECT * FROM whole_row()',
    'SELECT some_rows(array_agg(t)) FROM regress_t t', 'SELECT some_rows(NULL)',
    'SELECT positive(1)', 'SELECT positive(0)', 'SELECT from_positive(3)', 'SELECT from_positive(-3)',
    'SELECT positives(ARRAY[1, NULL])', 'SELECT positives(ARRAY[0])',
    'SELECT sorted(1)', 'SELECT * FROM sorted(2)', 'SELECT sorted(NULL)', 'SELECT unsorted((1, ''b''))',
    'SELECT arrays(ARRAY[1]), arrays(''{}''), arrays(''[-1:0]={1,2}'')',
    'SELECT ranges(''[1,5)''), ranges(''empty'')']) AS query, regress_same(query);

-- sets and tables
CALL regress_define('series(n int) RETURNS SETOF int', 'BEGIN FOR i IN 1..n LOOP RETURN NEXT i; END LOOP; RETURN QUERY SELECT NULL::int; END');
CALL regress_define('table_of(n int) RETURNS TABLE (a int, b text, c regress_pair)', 'BEGIN FOR i IN 1..n LOOP a := i; b := ''b'' || i; c := (i, NULL); RETURN NEXT; END LOOP; END');
CALL regress_define('setof_t() RETURNS SETOF regress_t', 'DECLARE r regress_t; BEGIN RETURN QUERY SELECT * FROM regress_t ORDER BY a; SELECT * INTO r FROM regress_t WHERE a = 2; RETURN NEXT r; END');
CALL regress_define('setof_void() RETURNS SETOF void', 'BEGIN END');
CALL regress_define('setof_outs(OUT a int, OUT b int) RETURNS SETOF record', 'BEGIN FOR i IN 1..2 LOOP a := i; b := a * a; RETURN NEXT; END LOOP; END');
CALL regress_define('fails_late() RETURNS SETOF int', 'BEGIN RETURN NEXT 1; RETURN NEXT 1 / 0; END');
CALL regress_define('records(n int) RETURNS SETOF record', 'BEGIN RETURN QUERY SELECT i, i::text FROM generate_series(1, n) i; END');
CALL regress_define('one_record() RETURNS record', 'BEGIN RETURN (1, ''x''::text); END');
SELECT result, same FROM unnest(ARRAY[
    'SELECT * FROM series(3)', 'SELECT series(2), series(1)', 'SELECT * FROM series(5) LIMIT 2',
    'SELECT count(*), sum(s) FROM series(100000) s',
    'SELECT * FROM table_of(2)', 'SELECT table_of(1)', 'SELECT * FROM table_of(0)', 'SELECT * FROM table_of(2) WITH ORDINALITY',
    'SELECT * FROM ROWS FROM (table_of(1), series(2))', 'SELECT (table_of(1)).*',
    'SELECT x, s FROM generate_series(1, 2) x, LATERAL series(x) s',
    'SELECT * FROM setof_t()', 'SELECT setof_t()', 'SELECT * FROM setof_void()', 'SELECT * FROM setof_outs()',
    'SELECT * FROM fails_late()',
    'SELECT * FROM records(2) AS (a int, b text)', 'SELECT * FROM records(0) AS (a int, b text)',
    'SELECT * FROM records(2) AS (a int, b int)', 'SELECT * FROM records(2) AS (a int)',
    'SELECT * FROM one_record() AS (a int, b text)', 'SELECT * FROM one_record() AS (a text, b int)']) AS query, regress_same(query);

-- polymorphic ones
CALL regress_define('same_one(x anyelement) RETURNS anyelement', 'BEGIN RETURN x; END');
CALL regress_define('array_with(x anyelement, y anyarray) RETURNS anyarray', 'BEGIN RETURN y || x; END');
CALL regress_define('elements(x anyarray, OUT first anyelement, OUT n int)', 'BEGIN first := x[1]; n := cardinality(x); END');
CALL regress_define('unnested(x anyarray) RETURNS SETOF anyelement', 'BEGIN RETURN QUERY SELECT unnest(x); END');
CALL regress_define('table_like(x anyelement) RETURNS TABLE (a anyelement, b anyarray)', 'BEGIN a := x; b := ARRAY[x, x]; RETURN NEXT; END');
CALL regress_define('compatible(x anycompatible, y anycompatible) RETURNS anycompatible', 'BEGIN RETURN greatest(x, y); END');
CALL regress_define('bounds(r anyrange) RETURNS anyelement', 'BEGIN RETURN upper(r); END');
CALL regress_define('type_of(x anynonarray) RETURNS regtype', 'BEGIN RETURN pg_typeof(x); END');
SELECT result, same FROM unnest(ARRAY[
    'SELECT same_one(1), same_one(''x''::text), same_one(NULL::date), same_one(ARRAY[1, 2])',
    'SELECT same_one(t) FROM regress_t t', 'SELECT (same_one(t)).* FROM regress_t t',
    'SELECT same_one(5::regress_positive), same_one((1, ''y'')::regress_pair)',
    'SELECT array_with(1, ARRAY[2]), array_with(''x''::text, NULL), array_with((1, ''y'')::regress_pair, ''{}'')',
    'SELECT * FROM elements(ARRAY[1.5, 2])', 'SELECT elements(ARRAY[''happy''::regress_mood])',
    'SELECT * FROM unnested(ARRAY[1, NULL])', 'SELECT * FROM unnested(ARRAY[''ok''::regress_mood])',
    'SELECT * FROM table_like(''t''::text)', 'SELECT * FROM table_like(NULL::int)',
    'SELECT compatible(1, 2.5), compatible(1::smallint, 2::bigint)',
    'SELECT bounds(int4range(1, 5)), bounds(tsrange(''2000-01-01'', ''2000-01-02''))',
    'SELECT type_of(1), type_of(1.0), type_of(''x''::varchar)']) AS query, regress_same(query);

-- STRICT, and the collation of the call
CALL regress_define('strictly(a int, b int) RETURNS int STRICT', 'BEGIN RETURN coalesce(a, b); END');
CALL regress_define('strict_set(a int) RETURNS SETOF int STRICT', 'BEGIN RETURN NEXT 1; END');
CREATE COLLATION regress_c (provider = libc, locale = 'C');
CALL regress_define('collation_of(a text) RETURNS text', 'BEGIN RETURN pg_collation_for(a); END');
SELECT result, same FROM unnest(ARRAY[
    'SELECT strictly(1, 2), strictly(NULL, 2), strictly(1, NULL)', 'SELECT * FROM strict_set(NULL)',
    'SELECT collation_of(''x''), collation_of(''x'' COLLATE "C"), collation_of(''x'' COLLATE regress_c)']) AS query, regress_same(query);

-- errors, with their fields
CALL regress_define('raises(state text) RETURNS int', $$BEGIN
    RAISE EXCEPTION 'message of %', state USING ERRCODE = state, DETAIL = 'detail', HINT = 'hint', SCHEMA = 's', TABLE = 't',
        COLUMN = 'c', CONSTRAINT = 'k', DATATYPE = 'd'; END$$);
CALL regress_define('asserts() RETURNS int', 'BEGIN ASSERT false, ''no''; END');
CALL regress_define('catches() RETURNS text', 'BEGIN PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN RETURN SQLSTATE; END');
CALL regress_define('no_such_table() RETURNS int', 'BEGIN RETURN (SELECT x FROM regress_no_such_table); END');
CALL regress_define('too_deep() RETURNS int', 'BEGIN RETURN regress_plain.strictly(1, 2) + nosuch(1); END');
SELECT result, same FROM unnest(ARRAY[
    'SELECT raises(''P0001'')', 'SELECT raises(''23505'')', 'SELECT raises(''Z1234'')', 'SELECT asserts()', 'SELECT catches()',
    'SELECT no_such_table()', 'SELECT too_deep()']) AS query, regress_same(query);

-- anonymous rows mean something in the process that made them only: said clearly
\set VERBOSITY default
\set SHOW_CONTEXT never
CREATE FUNCTION regress_aside.takes_record(r record) RETURNS text LANGUAGE plpgsql_autonomous AS 'BEGIN RETURN r::text; END';
CREATE FUNCTION regress_aside.out_record(OUT a int, OUT r record) LANGUAGE plpgsql_autonomous AS 'BEGIN a := 1; r := (1, 2); END';
CREATE FUNCTION regress_aside.in_records() RETURNS SETOF record LANGUAGE plpgsql_autonomous AS 'BEGIN RETURN QUERY SELECT 1, (2, 3); END';
SELECT regress_aside.takes_record((1, 'x'));
SELECT regress_aside.out_record();
SELECT * FROM regress_aside.in_records() AS (a int, r record);
SELECT regress_aside.one_record();
SELECT regress_aside.same_one((1, 'x'));
SELECT regress_aside.records(1);
\set VERBOSITY sqlstate

-- wherever a function may be called: in a query, a default, a check, an index expression, an aggregate, an operator
CREATE FUNCTION regress_aside.double(n int) RETURNS int IMMUTABLE PARALLEL SAFE LANGUAGE plpgsql_autonomous AS 'BEGIN RETURN n * 2; END';
CREATE FUNCTION regress_aside.add(a bigint, b int) RETURNS bigint LANGUAGE plpgsql_autonomous AS 'BEGIN RETURN coalesce(a, 0) + b; END';
CREATE AGGREGATE regress_aside.total(int) (SFUNC = regress_aside.add, STYPE = bigint);
CREATE OPERATOR regress_aside.@@@ (FUNCTION = regress_aside.double, RIGHTARG = int);
CREATE TABLE regress_places (n int DEFAULT regress_aside.double(4), CHECK (regress_aside.double(n) < 100),
                             d int GENERATED ALWAYS AS (regress_aside.double(n)) STORED);
INSERT INTO regress_places DEFAULT VALUES;
INSERT INTO regress_places SELECT i FROM generate_series(1, 5) i;
INSERT INTO regress_places VALUES (50);
SELECT * FROM regress_places ORDER BY n;
SELECT regress_aside.total(n), regress_aside.total(n) FILTER (WHERE n > 4), OPERATOR(regress_aside.@@@) 21 AS op FROM regress_places;
SELECT n, regress_aside.total(n) OVER (ORDER BY n) FROM regress_places ORDER BY n;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET parallel_leader_participation = off;
SELECT sum(n) FROM regress_places WHERE regress_aside.double(n) > 8;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
RESET parallel_leader_participation;
PREPARE regress_p(int) AS SELECT regress_aside.double($1);
EXECUTE regress_p(1);
EXECUTE regress_p(NULL);
DEALLOCATE regress_p;
-- a cursor loop that calls one for each row
DO $$
DECLARE
    r record;
    n bigint := 0;
BEGIN
    FOR r IN SELECT i FROM generate_series(1, 2000) i LOOP
        n := regress_aside.add(n, r.i);
    END LOOP;
    IF n <> 2001000 THEN
        RAISE EXCEPTION '%', n;
    END IF;
END
$$;

\set VERBOSITY terse
SET client_min_messages = warning;
DROP TABLE regress_places;
DROP SCHEMA regress_plain, regress_aside CASCADE;
DROP TABLE regress_t, regress_large;
DROP FUNCTION regress_same(text), regress_result(text, text);
DROP PROCEDURE regress_define(text, text);
DROP DOMAIN regress_positive, regress_sorted_pair;
DROP TYPE regress_pair, regress_mood;
DROP COLLATION regress_c;
