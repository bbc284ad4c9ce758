-- Claim: a command, its arguments, results, messages and settings are bytes in
-- the database's encoding: LATIN1 and SQL_ASCII databases get theirs unchanged.
\set VERBOSITY sqlstate
SELECT current_database() AS home \gset
CREATE DATABASE regress_aside_latin1 TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C';
CREATE DATABASE regress_aside_ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C';

\c regress_aside_latin1
CREATE EXTENSION pg_aside;
SHOW server_encoding;
CREATE TABLE regress_t (x text);
-- e acute is one byte here; not UTF-8 at all
SELECT autonomous_exec('INSERT INTO regress_t VALUES (''' || chr(233) || ''')');
SELECT autonomous_exec('INSERT INTO regress_t VALUES ($1)', chr(233) || chr(255));
SELECT length(x), encode(x::bytea, 'hex') FROM regress_t;
SELECT encode(a::bytea, 'hex') FROM autonomous_query('SELECT x FROM regress_t') AS (a text);
SELECT encode((j->>'x')::bytea, 'hex') FROM autonomous_json('SELECT x FROM regress_t') j;
SELECT autonomous_exec('CREATE TABLE "t' || chr(233) || '" ()');
SELECT encode(relname::text::bytea, 'hex') FROM pg_class WHERE relname LIKE 't' || chr(233) || '%';
\set VERBOSITY default
DO $$
BEGIN
    PERFORM autonomous_exec('SELECT 1, "' || chr(233) || '"');
EXCEPTION WHEN undefined_column THEN
    RAISE NOTICE 'in the message: %', strpos(SQLERRM, chr(233)) > 0;
END
$$;
\set VERBOSITY sqlstate
SELECT set_config('app.name', chr(233), false) = chr(233) AS set_here;
SELECT v = chr(233) AS setting FROM autonomous_query('SELECT current_setting(''app.name'')') AS (v text);
-- whatever the client speaks
SET client_encoding = 'UTF8';
SELECT autonomous_exec('INSERT INTO regress_t VALUES (''' || chr(252) || ''')');
\set VERBOSITY default
DO $$
BEGIN
    PERFORM autonomous_exec('DO ''BEGIN RAISE EXCEPTION $m$' || chr(252) || '$m$; END''');
EXCEPTION WHEN raise_exception THEN
    RAISE NOTICE 'in the message: %', SQLERRM = chr(252);
END
$$;
\set VERBOSITY sqlstate
RESET client_encoding;
SELECT encode(x::bytea, 'hex') FROM regress_t;

\c regress_aside_ascii
CREATE EXTENSION pg_aside;
SHOW server_encoding;
CREATE TABLE regress_t (x text);
-- bytes that are no text in any encoding we know
SELECT autonomous_exec('INSERT INTO regress_t VALUES (''' || chr(255) || chr(254) || chr(128) || ''')');
SELECT autonomous_exec('INSERT INTO regress_t VALUES ($1)', chr(195) || chr(40));
SELECT encode(x::bytea, 'hex') FROM regress_t;
SELECT encode(a::bytea, 'hex') FROM autonomous_query('SELECT x FROM regress_t') AS (a text);
SELECT count(*) FROM autonomous_query('SELECT x FROM regress_t WHERE x = ''' || chr(195) || chr(40) || '''') AS (a text);
\set VERBOSITY default
DO $$
BEGIN
    PERFORM autonomous_exec('SELECT 1, "' || chr(255) || '"');
EXCEPTION WHEN undefined_column THEN
    RAISE NOTICE 'in the message: %', strpos(SQLERRM, chr(255)) > 0;
END
$$;
\set VERBOSITY sqlstate
SELECT set_config('app.name', chr(200), false) = chr(200) AS set_here;
SELECT v = chr(200) AS setting FROM autonomous_query('SELECT current_setting(''app.name'')') AS (v text);
-- no command is too odd to be answered
SELECT autonomous_exec(chr(255));
SELECT autonomous_exec('SELECT 1 -- ' || repeat(chr(255), 1000));
SELECT autonomous_exec('SELECT ''' || string_agg(chr(g), '') || '''') FROM generate_series(1, 255) g WHERE g <> 39;

\c :home
SHOW server_encoding;
SELECT * FROM autonomous_query(U&'SELECT length($1), octet_length($1), ''\20ac''', U&'\00e9\+01f600') AS (l int, o int, e text)
WHERE e = U&'\20ac';
DROP DATABASE regress_aside_latin1 WITH (FORCE);
DROP DATABASE regress_aside_ascii WITH (FORCE);
