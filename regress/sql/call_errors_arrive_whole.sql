-- Claim: an error arrives with every field of the original, its position as
-- an internal query, and exactly one CONTEXT line `autonomous transaction` per
-- level; the texts may be long, or in any character the database knows.
CREATE FUNCTION regress_fail() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the message' USING
        ERRCODE = 'AS123', DETAIL = 'The detail.', HINT = 'The hint.',
        SCHEMA = 'a schema', TABLE = 'a table', COLUMN = 'a column',
        DATATYPE = 'a type', CONSTRAINT = 'a constraint';
END
$$;
CREATE FUNCTION regress_diagnose(call text, VARIADIC args text[] DEFAULT '{}') RETURNS TABLE (field text, value text)
LANGUAGE plpgsql AS $$
DECLARE
    v1 text; v2 text; v3 text; v4 text; v5 text; v6 text; v7 text; v8 text; v9 text; c text;
BEGIN
    EXECUTE call USING args[1];
    RETURN QUERY SELECT 'outcome', 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS v1 = RETURNED_SQLSTATE, v2 = MESSAGE_TEXT, v3 = PG_EXCEPTION_DETAIL,
        v4 = PG_EXCEPTION_HINT, v5 = SCHEMA_NAME, v6 = TABLE_NAME, v7 = COLUMN_NAME,
        v8 = PG_DATATYPE_NAME, v9 = CONSTRAINT_NAME, c = PG_EXCEPTION_CONTEXT;
    RETURN QUERY SELECT * FROM (VALUES ('sqlstate', v1), ('message', v2), ('detail', v3), ('hint', v4), ('schema', v5),
        ('table', v6), ('column', v7), ('datatype', v8), ('constraint', v9)) x(f, v) WHERE v <> '';
    RETURN QUERY SELECT 'autonomous lines',
        (SELECT count(*)::text FROM regexp_split_to_table(c, '\n') l WHERE l = 'autonomous transaction');
    RETURN QUERY SELECT 'worker''s context first',
        (strpos(c, 'regress_fail() line 3 at RAISE') < strpos(c, 'autonomous transaction'))::text
        WHERE c LIKE '%regress_fail() line 3%';
END
$$;

-- all fields, at every entry
SELECT * FROM regress_diagnose('SELECT autonomous_exec(''SELECT regress_fail()'')');
SELECT * FROM regress_diagnose('SELECT * FROM autonomous_query(''SELECT regress_fail()'') AS (a text)');
SELECT * FROM regress_diagnose('SELECT * FROM autonomous_query_as(NULL::int, ''SELECT 1 WHERE regress_fail() IS NULL'')');
SELECT * FROM regress_diagnose('SELECT * FROM autonomous_json(''SELECT regress_fail()'')');

-- fields that the server itself fills
CREATE DOMAIN regress_positive AS int CONSTRAINT is_positive CHECK (value > 0);
CREATE TABLE regress_t (id int CONSTRAINT the_key PRIMARY KEY, x text NOT NULL, y int CONSTRAINT even CHECK (y % 2 = 0));
INSERT INTO regress_t VALUES (1, 'one', 0);
SELECT * FROM regress_diagnose('SELECT autonomous_exec(''INSERT INTO regress_t VALUES (1, $1, 0)'', $1)', 'again');
SELECT * FROM regress_diagnose('SELECT autonomous_exec(''INSERT INTO regress_t VALUES (2, $1, 0)'', $1)', NULL);
SELECT * FROM regress_diagnose('SELECT autonomous_exec(''INSERT INTO regress_t VALUES (3, $1, 3)'', $1)', 'odd');
SELECT * FROM regress_diagnose('SELECT autonomous_exec(''SELECT $1::int::regress_positive'', $1)', '-1');
SELECT * FROM regress_diagnose('SELECT autonomous_exec(''DROP TYPE regress_positive; DROP TABLE regress_no_such'')');

-- nested: a line per level; and what the worker itself caught is not heard of
SELECT * FROM regress_diagnose($$SELECT autonomous_exec('SELECT autonomous_exec(''SELECT regress_fail()'')')$$);
SELECT * FROM regress_diagnose($$SELECT autonomous_exec('DO ''BEGIN PERFORM regress_fail(); EXCEPTION WHEN OTHERS THEN NULL; END''')$$);

-- the position is an internal query, at the character where it was
SELECT autonomous_exec('SELEC 1');
SELECT autonomous_exec('SELECT * FROM regress_no_such_table');
SELECT autonomous_exec('SELECT 1; SELECT id, nope FROM regress_t');
SELECT autonomous_exec('SELECT $1, $2', 1);
SELECT * FROM autonomous_query(U&'SELECT ''\00e9\20ac\+01f600'', nope FROM regress_t') AS (a text);
SELECT autonomous_exec(E'SELECT 1,\n    nope\nFROM regress_t');
-- one below another: the innermost text is shown, as plpgsql's would be
CREATE FUNCTION regress_broken() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT nope FROM regress_t); END';
SELECT autonomous_exec('SELECT regress_broken()');
SELECT autonomous_exec('SELECT autonomous_exec(''SELEC 1'')');

-- long texts and multibyte ones, in messages, details and hints
CREATE FUNCTION regress_long(text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING MESSAGE = $1 || '!', DETAIL = $1, HINT = U&'\00e9\+01f600', ERRCODE = 'AS999';
END
$$;
SELECT field, length(value), md5(value) = md5(repeat('x', 1048576) || CASE field WHEN 'message' THEN '!' ELSE '' END) AS same
FROM regress_diagnose('SELECT autonomous_exec(''SELECT regress_long($1)'', $1)', repeat('x', 1048576)) WHERE field IN ('message', 'detail');
SELECT field, length(value), octet_length(value), md5(value) = md5(repeat(U&'\20ac', 400000) || CASE field WHEN 'message' THEN '!' ELSE '' END) AS same
FROM regress_diagnose('SELECT autonomous_exec(''SELECT regress_long($1)'', $1)', repeat(U&'\20ac', 400000)) WHERE field IN ('message', 'detail');
SELECT value = U&'\00e9\+01f600' AS hint_same
FROM regress_diagnose('SELECT autonomous_exec(''SELECT regress_long($1)'', $1)', 'short') WHERE field = 'hint';
-- whatever the client's encoding, the server's own text is kept
SET client_encoding = 'LATIN1';
SELECT value = U&'\00e9\00df' AS same
FROM regress_diagnose('SELECT autonomous_exec(''SELECT regress_long($1)'', $1)', U&'\00e9\00df') WHERE field = 'detail';
SELECT value = U&'\20ac' AS same_though_not_in_latin1
FROM regress_diagnose('SELECT autonomous_exec(''SELECT regress_long($1)'', $1)', U&'\20ac') WHERE field = 'detail';
RESET client_encoding;

-- empty fields, percent signs, a SQLSTATE of a warning's class
DO $$
BEGIN
    PERFORM autonomous_exec('DO ''BEGIN RAISE EXCEPTION USING MESSAGE = $m$100% %s %n$m$, ERRCODE = $c$01000$c$; END''');
EXCEPTION WHEN SQLSTATE '01000' THEN
    RAISE NOTICE '%', SQLERRM;
END
$$;

-- bad days that end well: the worker's own backend cancelled, an assertion, a cast
\set VERBOSITY sqlstate
SELECT autonomous_exec('SELECT pg_cancel_backend(pg_backend_pid()); SELECT pg_sleep(30)');
SELECT autonomous_exec('DO ''BEGIN ASSERT false; END''');
SELECT autonomous_exec('SELECT $1::int', 'x'::text);
CREATE FUNCTION regress_f(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN regress_f($1 + 1); END';
SET max_stack_depth = '200kB';
SELECT autonomous_exec('SELECT regress_f(1)');
RESET max_stack_depth;
SELECT autonomous_exec('SELECT 1') AS goes_on;

DROP TABLE regress_t;
DROP DOMAIN regress_positive;
DROP FUNCTION regress_fail(), regress_diagnose(text, text[]), regress_broken(), regress_long(text), regress_f(int);
