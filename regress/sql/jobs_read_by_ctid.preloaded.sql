-- Claim: a job that is split by ctid reads each block once; a command that writes is refused, by what it says or by what it does.
\set SHOW_CONTEXT never
\set VERBOSITY default
CREATE ROLE regress_ctid LOGIN;
GRANT aside_user TO regress_ctid;
GRANT CREATE ON SCHEMA public TO regress_ctid;
SET SESSION AUTHORIZATION regress_ctid;
-- No key, no index.
CREATE TABLE "Ctid's {rows}" (n int, filler text);
INSERT INTO "Ctid's {rows}" SELECT g, repeat('x', 100) FROM generate_series(1, 3000) g;
ANALYZE "Ctid's {rows}";
SELECT pg_relation_size('"Ctid''s {rows}"') / current_setting('block_size')::int - 1 AS last \gset
CREATE FUNCTION checks(n int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF n = 1234 THEN RAISE EXCEPTION 'row % is wrong', n USING ERRCODE = '22023'; END IF;
END $$;
CREATE FUNCTION writes(id int) RETURNS void LANGUAGE sql AS $$ UPDATE "Ctid's {rows}" SET filler = '' WHERE n = id $$;
\set within ' FROM "Ctid''s {rows}" WHERE ctid BETWEEN $1 AND $2'
\set target '"Ctid''s {rows}"'
SELECT count(parallel_start(n, c, :'target', chunk_by => 'ctid', chunk_rows => 500, max_attempts => 1)) FROM (VALUES
    ('reads', 'SET LOCAL work_mem = ''8MB''; WITH r AS (SELECT n' || :'within' || ') SELECT count(*) FROM r'),
    ('checks', 'SELECT checks(n)' || :'within'),
    ('writes', 'SELECT writes(n)' || :'within')) v (n, c);
SELECT bool_and(parallel_wait(n, '60 s')) FROM unnest('{reads,checks,writes}'::text[]) n;
SELECT name, state, chunks_failed > 0 AS some_failed, sqlstate, message FROM aside.parallel_jobs ORDER BY name;
SELECT count(*) > 3 AS several, bool_and(state = 'done') AS done, count(DISTINCT low) = count(*) AS apart,
    min(low::tid) AS first, max(high::tid) = format('(%s,65535)', :last)::tid AS last
    FROM aside.parallel_chunks WHERE job = 'reads';
SELECT sqlstate, message FROM aside.parallel_chunks WHERE job = 'checks' AND state = 'failed';
SELECT detail, hint FROM aside.parallel_jobs WHERE name = 'writes';
SELECT count(*) FROM "Ctid's {rows}" WHERE filler = '';
-- what is refused at once
CREATE FUNCTION refused(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM parallel_start('x', command, '"Ctid''s {rows}"', chunk_by => 'ctid');
    RETURN 'taken';
EXCEPTION WHEN OTHERS THEN
    RETURN concat_ws(' ', sqlstate, sqlerrm);
END $$;
SELECT c, refused(c) FROM unnest(ARRAY['DELETE FROM u WHERE ctid BETWEEN $1 AND $2', 'SELECT 1; UPDATE u SET n = 1 WHERE ctid BETWEEN $1 AND $2',
    'INSERT INTO u SELECT 1 WHERE $1 < $2', 'WITH d AS (DELETE FROM u WHERE ctid BETWEEN $1 AND $2 RETURNING 1) SELECT * FROM d',
    'SELECT 1 INTO u WHERE $1 < $2', 'SELECT n FROM u WHERE ctid BETWEEN $1 AND $2 FOR UPDATE', 'CALL p($1, $2)', 'SELEC $1 $2', 'SELECT $1']) c;
SELECT parallel_start('x', 'DELETE FROM u WHERE ctid BETWEEN $1 AND $2', :'target', chunk_by => 'ctid');
-- a command may read only, of its own or of its owner's will; that it is done is recorded all the same
CREATE TABLE ctid_keys (id int PRIMARY KEY);
INSERT INTO ctid_keys SELECT g FROM generate_series(1, 100) g;
RESET SESSION AUTHORIZATION;
ALTER ROLE regress_ctid SET default_transaction_read_only = on;
SET SESSION AUTHORIZATION regress_ctid;
SET default_transaction_read_only = off;
SELECT parallel_start('only reads', 'SELECT count(*) FROM ctid_keys WHERE id BETWEEN $1 AND $2', 'ctid_keys', chunk_rows => 10) > 0,
    parallel_start('cannot write', 'DELETE FROM ctid_keys WHERE id BETWEEN $1 AND $2', 'ctid_keys', chunk_rows => 50) > 0;
SELECT bool_and(parallel_wait(n, '60 s')) FROM unnest('{only reads,cannot write}'::text[]) n;
SELECT name, state, chunks_done, sqlstate, message FROM aside.parallel_jobs WHERE name IN ('only reads', 'cannot write') ORDER BY name;
SELECT count(*) FROM aside.parallel_chunks WHERE job = 'cannot write' AND state = 'split';
RESET SESSION AUTHORIZATION;
DROP OWNED BY regress_ctid CASCADE;
CALL until('(SELECT count(*) = 0 FROM aside.parallel_chunk)');
DROP ROLE regress_ctid;
