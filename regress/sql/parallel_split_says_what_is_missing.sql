-- Claim: what cannot be cut into chunks is refused at the start, and the error says why, and what to do.
\set SHOW_CONTEXT never
CREATE FUNCTION refused(target regclass, chunk_by text DEFAULT 'key', chunk_query text DEFAULT NULL, chunk_column name DEFAULT NULL)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE detail text; hint text;
BEGIN
    PERFORM * FROM parallel_query('SELECT $1, $2', target, chunk_by, chunk_query, chunk_column) AS r (low text, high text);
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n', sqlstate || ' ' || sqlerrm, nullif(detail, ''), nullif(hint, ''));
END $$;
\pset format unaligned
\pset tuples_only on
CREATE TABLE plain (id int, j json, p point, v int, w int, c text COLLATE "C");
INSERT INTO plain VALUES (1);
SELECT refused('plain');
SELECT refused('plain', chunk_column => 'id');
SELECT refused('plain', chunk_column => 'nope');
SELECT refused('plain', chunk_column => 'ctid');
SELECT refused('plain', chunk_column => 'j');
SELECT refused('plain', chunk_column => 'p');
-- indexes that will not do: of another order, of another column first, of some rows, of another kind, of another collation
CREATE INDEX ON plain (c text_pattern_ops);
CREATE INDEX ON plain (c COLLATE "POSIX");
SELECT refused('plain', chunk_column => 'c');
CREATE INDEX ON plain (w, v);
SELECT refused('plain', chunk_column => 'v');
CREATE INDEX ON plain (v) WHERE v > 0;
SELECT refused('plain', chunk_column => 'v');
CREATE INDEX ON plain USING hash (v);
SELECT refused('plain', chunk_column => 'v');
CREATE INDEX ON plain ((v + 1));
SELECT refused('plain', chunk_column => 'v');
CREATE INDEX invalid ON plain (id);
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'invalid'::regclass;
SELECT refused('plain', chunk_column => 'id');
-- one that will
CREATE INDEX ON plain (v DESC, w);
SELECT refused('plain', chunk_column => 'v');

CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child () INHERITS (parent);
SELECT refused('parent');
CREATE TABLE parted (id int) PARTITION BY RANGE (id);
CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE INDEX ON ONLY parted (id);
SELECT refused('parted', chunk_column => 'id');
CREATE VIEW looked AS SELECT * FROM plain;
SELECT refused('looked');
SELECT refused('looked', 'ctid');
CREATE SEQUENCE numbers;
SELECT refused('numbers');
SELECT refused('plain', 'partition');
CREATE TEMPORARY TABLE own (id int PRIMARY KEY);
SELECT refused('own');
SELECT refused('own', 'ctid');
SELECT refused(0::regclass);
SELECT refused(NULL);
SELECT refused('plain', NULL);
SELECT refused('plain', 'rows');
SELECT refused(NULL, 'query');
SELECT refused(NULL, 'query', 'SELECT 1');
SELECT refused(NULL, 'query', 'SELECT 1, 2, 3');
SELECT refused(NULL, 'query', 'SELEC');
SELECT refused(NULL, 'query', 'DELETE FROM plain RETURNING 1, 2');
SELECT refused(NULL, 'query', 'SELECT 1, 1 / 0 FROM plain');
-- rights
CREATE ROLE parallel_reader;
GRANT aside_user TO parallel_reader;
CREATE INDEX ON plain (w);
SET ROLE parallel_reader;
SELECT refused('plain', chunk_column => 'w');
RESET ROLE;
GRANT SELECT (id) ON plain TO parallel_reader;
SET ROLE parallel_reader;
SELECT refused('plain', chunk_column => 'w');
SELECT refused('plain', 'ctid');
RESET ROLE;
DROP VIEW looked;
DROP SEQUENCE numbers;
DROP TABLE own, plain, parent, child, parted;
DROP FUNCTION refused;
DROP ROLE parallel_reader;
