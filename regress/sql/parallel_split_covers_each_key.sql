-- Claim: a table is cut so that each of its rows is in one chunk, and in one only, whatever its keys are.
\set SHOW_CONTEXT never
SELECT coalesce((SELECT 'en-x-icu' FROM pg_collation WHERE collname = 'en-x-icu'), 'POSIX') AS collation \gset
-- A row is known by its table and its place. Each row comes with the bounds of its chunk.
CREATE FUNCTION covers(target regclass, key name, rows int DEFAULT 37, workers int DEFAULT 2,
    OUT once bigint, OUT twice bigint, OUT never bigint, OUT chunks bigint, OUT longest bigint) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('WITH read AS MATERIALIZED (SELECT * FROM parallel_query(
            ''SELECT t.tableoid, t.ctid, concat($1::text, '''' to '''', $2::text) FROM %1$s t
                WHERE t.%2$I BETWEEN $1 AND $2 OR t.%2$I IS NOT DISTINCT FROM NULL AND $1 IS NOT DISTINCT FROM NULL'',
            target => %1$L, chunk_column => %2$L, chunk_rows => $1, workers => $2) AS r (rel oid, at tid, chunk text)),
        found AS (SELECT t.tableoid, t.ctid, count(r.rel) AS times FROM %1$s t
            LEFT JOIN read r ON r.rel = t.tableoid AND r.at = t.ctid GROUP BY 1, 2),
        chunk AS (SELECT count(*) AS rows FROM read GROUP BY chunk)
        SELECT count(*) FILTER (WHERE times = 1), count(*) FILTER (WHERE times > 1), count(*) FILTER (WHERE times = 0),
            (SELECT count(*) FROM chunk), (SELECT max(rows) FROM chunk) FROM found', target, key)
        INTO once, twice, never, chunks, longest USING rows, workers;
END $$;

CREATE TABLE sparse (id bigint PRIMARY KEY);
INSERT INTO sparse SELECT g::bigint * g * 7919 FROM generate_series(1, 2000) g;
SELECT * FROM covers('sparse', 'id');
SELECT * FROM covers('sparse', 'id', 1000000);
SELECT * FROM covers('sparse', 'id', 400, 5);

-- equal keys are in one chunk
CREATE TABLE skewed (k int);
INSERT INTO skewed SELECT CASE WHEN g % 10 < 8 THEN 5 ELSE g END FROM generate_series(1, 2000) g;
CREATE INDEX ON skewed (k);
SELECT * FROM covers('skewed', 'k');
CREATE TABLE equal (k numeric);
INSERT INTO equal SELECT CASE g % 3 WHEN 0 THEN 7 WHEN 1 THEN 7.0 ELSE 7.00 END FROM generate_series(1, 300) g;
CREATE INDEX ON equal (k);
SELECT * FROM covers('equal', 'k');

CREATE TABLE empty (id int PRIMARY KEY);
SELECT * FROM covers('empty', 'id');
CREATE TABLE one (id int PRIMARY KEY);
INSERT INTO one VALUES (1);
SELECT * FROM covers('one', 'id');

CREATE TABLE random (id uuid PRIMARY KEY);
INSERT INTO random SELECT gen_random_uuid() FROM generate_series(1, 500);
SELECT * FROM covers('random', 'id');

-- the order is that of the column's collation, whatever the index's direction; quotes and backslashes are themselves
CREATE TABLE texts (k text COLLATE :"collation");
INSERT INTO texts SELECT chr(32 + g % 90) || E'''\\"%$1' || g / 90 || (ARRAY['a', 'A', 'ä', 'z', ''])[g % 5 + 1] FROM generate_series(1, 1000) g;
CREATE INDEX ON texts (k DESC);
SELECT once, twice, never FROM covers('texts', 'k');
CREATE TABLE "Odd ""T" (t int, cut int, l int, "K" varchar(20) PRIMARY KEY);
INSERT INTO "Odd ""T" SELECT 1, 2, 3, g FROM generate_series(1, 200) g;
SELECT * FROM covers('"Odd ""T"', 'K');

-- rows without a key are a chunk
CREATE TYPE pair AS (a int, b text);
CREATE TABLE pairs (k pair);
INSERT INTO pairs SELECT ROW(g / 10, CASE WHEN g % 7 > 0 THEN E'b"''\\' || g END)::pair FROM generate_series(1, 300) g;
INSERT INTO pairs VALUES (NULL), (NULL), (ROW(NULL, NULL)), (ROW(1, NULL));
CREATE INDEX ON pairs (k NULLS FIRST);
SELECT * FROM covers('pairs', 'k');

CREATE TABLE times (at timestamptz, local timestamp, d date, i interval, f float8, n numeric(10, 3), e "char");
INSERT INTO times SELECT '2020-01-01 00:00+00'::timestamptz + g * interval '1 hour 1 microsecond', '2020-01-01'::timestamp + g * interval '1 second',
    '0001-01-01'::date - g, g * interval '-1 month 3 days -4 hours', g / 3.0, g / 3.0, (g % 100)::int::"char" FROM generate_series(1, 300) g;
INSERT INTO times VALUES (NULL, NULL, NULL, NULL, 'NaN', 'NaN'), ('infinity', '-infinity', 'infinity', NULL, '-infinity', NULL);
CREATE INDEX ON times (at);
CREATE INDEX ON times (local DESC NULLS LAST);
CREATE INDEX ON times (d NULLS FIRST);
CREATE INDEX ON times (i);
CREATE INDEX ON times (f DESC);
CREATE INDEX ON times (n);
CREATE INDEX ON times (e);
SET DateStyle = 'SQL, DMY';
SET IntervalStyle = 'sql_standard';
SET extra_float_digits = -3;
SET TimeZone = 'Australia/Lord_Howe';
SELECT c, r.* FROM unnest('{at, local, d, i, f, n, e}'::name[]) c, covers('times', c) r;
RESET DateStyle;
RESET IntervalStyle;
RESET extra_float_digits;
RESET TimeZone;

-- a domain, an enum, an array, a range
CREATE DOMAIN odd AS int CHECK (VALUE % 2 = 1);
CREATE TYPE mood AS ENUM ('sad', 'so so', 'happy');
CREATE TABLE kinds (o odd, m mood, a int[], r int4range);
INSERT INTO kinds SELECT g * 2 + 1, (ARRAY['happy', 'sad', 'so so'])[g % 3 + 1]::mood, ARRAY[g % 5, g], int4range(g, g + 5) FROM generate_series(1, 100) g;
CREATE INDEX ON kinds (o);
CREATE INDEX ON kinds (m);
CREATE INDEX ON kinds (a);
CREATE INDEX ON kinds (r);
SELECT c, r.* FROM unnest('{o, m, a, r}'::name[]) c, covers('kinds', c, 9) r;

-- the first column of a key of several
CREATE TABLE several (a int, b int, PRIMARY KEY (a, b));
INSERT INTO several SELECT g / 10, g FROM generate_series(1, 300) g;
SELECT * FROM covers('several', 'a');

CREATE TABLE parted (id int PRIMARY KEY, v text) PARTITION BY HASH (id);
CREATE TABLE parted_0 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE "Parted 1" PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 1) PARTITION BY RANGE (id);
CREATE TABLE parted_11 PARTITION OF "Parted 1" FOR VALUES FROM (MINVALUE) TO (100);
CREATE TABLE parted_12 PARTITION OF "Parted 1" FOR VALUES FROM (100) TO (MAXVALUE);
INSERT INTO parted SELECT g FROM generate_series(1, 400) g;
SELECT * FROM covers('parted', 'id');
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent);
INSERT INTO parent SELECT g FROM generate_series(1, 100) g;
INSERT INTO child SELECT g FROM generate_series(51, 150) g;
SELECT * FROM covers('parent', 'id');
CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY);
INSERT INTO unlogged SELECT g FROM generate_series(1, 100) g;
SELECT * FROM covers('unlogged', 'id');
CREATE MATERIALIZED VIEW seen AS SELECT id FROM sparse;
CREATE INDEX ON seen (id);
SELECT * FROM covers('seen', 'id');

-- a search path that has other operators than the column
CREATE SCHEMA hidden;
CREATE FUNCTION hidden.never(int, int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
CREATE OPERATOR hidden.> (LEFTARG = int, RIGHTARG = int, FUNCTION = hidden.never);
CREATE OPERATOR hidden.< (LEFTARG = int, RIGHTARG = int, FUNCTION = hidden.never);
SET search_path = hidden, pg_catalog, public;
SELECT * FROM public.covers('public.skewed', 'k', 100);
RESET search_path;

-- by partition, by block, by a query
SELECT tbl, count(*) FROM parallel_query('SELECT tableoid::regclass::text, $1::text FROM parted WHERE tableoid = $1', 'parted', 'partition')
    AS r (tbl text, chunk text) WHERE tbl::regclass = chunk::regclass GROUP BY 1 ORDER BY 1;
SELECT count(*), count(DISTINCT id) FROM parallel_query('SELECT id FROM sparse WHERE ctid BETWEEN $1 AND $2', 'sparse', 'ctid', chunk_rows => 300) AS r (id bigint);
SELECT count(*), count(DISTINCT id) FROM parallel_query('SELECT id FROM parted WHERE ctid BETWEEN $1 AND $2', 'parted', 'ctid', chunk_rows => 1) AS r (id int);
SELECT count(*) FROM parallel_query('SELECT id FROM empty WHERE ctid BETWEEN $1 AND $2', 'empty', 'ctid') AS r (id int);
SELECT * FROM parallel_query('SELECT $1, $2, count(*) FROM skewed WHERE k BETWEEN $1 AND $2', chunk_by => 'query',
    chunk_query => 'SELECT g, g + 499 FROM generate_series(1, 2000, 500) g -- four of them') AS r (low int, high int, rows bigint) ORDER BY 1;
SELECT * FROM parallel_query('SELECT $1, $2', chunk_by => 'query', chunk_query => 'SELECT NULL::int, NULL::text') AS r (low int, high text);
SELECT * FROM parallel_query('SELECT $1, $2', chunk_by => 'query', chunk_query => 'SELECT 1, 2 WHERE false') AS r (low int, high int);

DROP MATERIALIZED VIEW seen;
DROP TABLE sparse, skewed, equal, empty, one, random, texts, "Odd ""T", pairs, times, kinds, several, parted, parent, child, unlogged;
DROP TYPE pair, mood, odd;
DROP FUNCTION covers;
SET client_min_messages = warning;
DROP SCHEMA hidden CASCADE;
RESET client_min_messages;
