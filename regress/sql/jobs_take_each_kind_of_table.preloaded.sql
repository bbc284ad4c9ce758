-- Claim: whatever kind of table and key it has, a job does each row once; what it cannot split it refuses.
\set SHOW_CONTEXT never
CREATE ROLE regress_kinds LOGIN;
GRANT aside_user TO regress_kinds;
GRANT CREATE ON SCHEMA public TO regress_kinds;
SET client_min_messages = warning;
CREATE FOREIGN DATA WRAPPER kind_wrapper;
CREATE SERVER kind_server FOREIGN DATA WRAPPER kind_wrapper;
GRANT USAGE ON FOREIGN SERVER kind_server TO regress_kinds;
SET SESSION AUTHORIZATION regress_kinds;
-- Runs a job over the table and tells how often its rows were done, and whether every chunk was.
CREATE FUNCTION done(wanted text, target regclass, rows int DEFAULT 20, chunk_column name DEFAULT NULL, OUT times text, OUT rows_done bigint, OUT state text, OUT chunks bigint)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM parallel_run(wanted, format('UPDATE %1$s SET times = times + 1 WHERE %2$I BETWEEN $1 AND $2 OR $1 IS NULL AND %2$I IS NULL', target, coalesce(chunk_column, 'id')),
        target, chunk_rows => rows, chunk_column => chunk_column);
    EXECUTE format('SELECT string_agg(DISTINCT times::text, '' ''), count(*) FROM %s', target) INTO times, rows_done;
    SELECT j.state, j.chunks_done INTO state, chunks FROM aside.parallel_jobs j WHERE j.name = wanted;
END $$;

CREATE TABLE kind_one (id int PRIMARY KEY, times int NOT NULL DEFAULT 0);
INSERT INTO kind_one VALUES (7);
SELECT * FROM done('one row', 'kind_one');
CREATE TABLE kind_equal (k text, times int NOT NULL DEFAULT 0);
INSERT INTO kind_equal SELECT 'same' FROM generate_series(1, 100);
CREATE INDEX ON kind_equal (k);
SELECT * FROM done('equal keys', 'kind_equal', chunk_column => 'k');
CREATE TABLE kind_null (k date, times int NOT NULL DEFAULT 0);
INSERT INTO kind_null SELECT NULL FROM generate_series(1, 100);
CREATE INDEX ON kind_null (k);
SELECT * FROM done('no keys', 'kind_null', chunk_column => 'k');
CREATE UNLOGGED TABLE kind_unlogged (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), times int NOT NULL DEFAULT 0);
INSERT INTO kind_unlogged SELECT FROM generate_series(1, 100);
SELECT * FROM done('unlogged', 'kind_unlogged');
CREATE TABLE kind_parted (id int, sub text, times int NOT NULL DEFAULT 0, PRIMARY KEY (id, sub)) PARTITION BY LIST (sub);
CREATE TABLE kind_parted_a PARTITION OF kind_parted FOR VALUES IN ('a');
CREATE TABLE kind_parted_b PARTITION OF kind_parted FOR VALUES IN ('b');
INSERT INTO kind_parted SELECT g / 2, CASE g % 2 WHEN 0 THEN 'a' ELSE 'b' END FROM generate_series(1, 100) g;
SELECT times, rows_done, state FROM done('partitioned', 'kind_parted');
CREATE TABLE kind_parent (id int PRIMARY KEY, times int NOT NULL DEFAULT 0);
CREATE TABLE kind_child (PRIMARY KEY (id)) INHERITS (kind_parent);
INSERT INTO kind_parent SELECT g FROM generate_series(1, 60) g;
INSERT INTO kind_child SELECT g FROM generate_series(41, 100) g;
SELECT times, rows_done, state FROM done('inherited', 'kind_parent');
CREATE TYPE kind_pair AS (a int, b text);
CREATE TABLE kind_pairs (id kind_pair PRIMARY KEY, times int NOT NULL DEFAULT 0);
INSERT INTO kind_pairs SELECT ROW(g / 10, E'it''s \\ ' || g)::kind_pair FROM generate_series(1, 100) g;
SELECT * FROM done('composite', 'kind_pairs');
CREATE TABLE kind_times (id timestamptz PRIMARY KEY, times int NOT NULL DEFAULT 0);
INSERT INTO kind_times SELECT timestamptz '2026-10-25 00:00 UTC' + g * interval '3 minutes' FROM generate_series(1, 100) g;
SET timezone = 'Europe/Berlin';
SET DateStyle = 'German';
SELECT * FROM done('times', 'kind_times');
RESET timezone;
RESET DateStyle;
-- what cannot be written is read all the same
CREATE MATERIALIZED VIEW kind_seen AS SELECT id FROM kind_parent;
CREATE INDEX ON kind_seen (id);
CREATE TABLE kind_copy (id int);
SELECT parallel_run('seen', 'INSERT INTO kind_copy SELECT id FROM kind_seen WHERE id BETWEEN $1 AND $2', 'kind_seen', chunk_column => 'id', chunk_rows => 20);
SELECT count(*), count(DISTINCT id) FROM kind_copy;
-- what cannot be split
\set VERBOSITY default
CREATE FOREIGN TABLE kind_foreign (id int) SERVER kind_server;
SELECT parallel_start('x', 'DELETE FROM kind_foreign WHERE id BETWEEN $1 AND $2', 'kind_foreign');
CREATE TABLE kind_mixed (id int, sub text) PARTITION BY LIST (sub);
CREATE INDEX ON kind_mixed (id);
CREATE FOREIGN TABLE kind_far PARTITION OF kind_mixed FOR VALUES IN ('c') SERVER kind_server;
SELECT parallel_start('x', 'DELETE FROM kind_mixed WHERE id BETWEEN $1 AND $2', 'kind_mixed', chunk_column => 'id');
CREATE VIEW kind_view AS SELECT * FROM kind_one;
SELECT parallel_start('x', 'DELETE FROM kind_view WHERE id BETWEEN $1 AND $2', 'kind_view');
CREATE TEMPORARY TABLE kind_own (id int PRIMARY KEY);
SELECT parallel_start('x', 'DELETE FROM kind_own WHERE id BETWEEN $1 AND $2', 'kind_own');
CREATE TABLE kind_shapes (p point, j json);
SELECT parallel_start('x', 'DELETE FROM kind_shapes WHERE p BETWEEN $1 AND $2', 'kind_shapes', chunk_column => 'p');
SELECT parallel_start('x', 'DELETE FROM kind_shapes WHERE j BETWEEN $1 AND $2', 'kind_shapes', chunk_column => 'j');

RESET SESSION AUTHORIZATION;
DROP OWNED BY regress_kinds CASCADE;
DROP SERVER kind_server;
DROP FOREIGN DATA WRAPPER kind_wrapper;
CALL until('(SELECT count(*) = 0 FROM aside.parallel_chunk)');
DROP ROLE regress_kinds;
