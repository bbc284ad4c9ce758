-- Claim: the rows of all chunks come to the caller as one query would return them: at his snapshot, with his rights and settings; and
-- nothing is written.
\set SHOW_CONTEXT never
CREATE TABLE items (id int PRIMARY KEY, v text);
INSERT INTO items SELECT g, 'item ' || g FROM generate_series(1, 1000) g;
CREATE FUNCTION counted(rows int DEFAULT 100) RETURNS bigint LANGUAGE sql AS
    $$ SELECT sum(n)::bigint FROM parallel_query('SELECT count(*) FROM items WHERE id BETWEEN $1 AND $2', 'items', chunk_rows => rows) AS r (n bigint) $$;
SELECT counted(), counted(1), counted(10000);
SELECT count(*), count(DISTINCT id), min(v), max(v) FROM parallel_query('SELECT id, v FROM items WHERE id BETWEEN $1 AND $2', 'items',
    chunk_rows => 50, workers => 3) AS r (id bigint, v varchar);
-- several workers were at it
SELECT count(DISTINCT pid) > 1 AS several, bool_and(pid <> pg_backend_pid()) AS elsewhere FROM parallel_query(
    'SELECT pg_backend_pid() FROM items, pg_sleep(0.02) WHERE id BETWEEN $1 AND $2', 'items', chunk_rows => 50) AS r (pid int);

-- what the caller has changed is not seen before he commits, and is whole after
BEGIN;
INSERT INTO items SELECT g FROM generate_series(1001, 1100) g;
SAVEPOINT a;
INSERT INTO items SELECT g FROM generate_series(1101, 1200) g;
SAVEPOINT b;
DELETE FROM items WHERE id <= 100;
SELECT counted(), count(*) FROM items;
ROLLBACK TO b;
SELECT counted(), count(*) FROM items;
RELEASE a;
SELECT counted(), count(*) FROM items;
COMMIT;
SELECT counted(), count(*) FROM items;
-- it is the snapshot of the caller's statement, or of his transaction
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM items;
SELECT autonomous_exec('DELETE FROM items WHERE id > 1000');
SELECT counted(), count(*) FROM items;
SAVEPOINT a;
SELECT counted(), count(*) FROM items;
COMMIT;
SELECT counted(), count(*) FROM items;
BEGIN;
SELECT autonomous_exec('DELETE FROM items WHERE id > 900');
SELECT counted(), count(*) FROM items;
COMMIT;
SELECT n, counted FROM (SELECT autonomous_exec('DELETE FROM items WHERE id > 800') AS n OFFSET 0) d, LATERAL (SELECT counted(n::int)) c;
SELECT counted(), count(*) FROM items;
BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE;
SELECT counted();
COMMIT;
-- many of his own subtransactions
BEGIN;
DO $$ BEGIN FOR i IN 5001..5100 LOOP BEGIN INSERT INTO items VALUES (i); EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $$;
SELECT counted(), count(*) FROM items;
COMMIT;
SELECT counted(), count(*) FROM items;

-- nothing is written
SELECT * FROM parallel_query('UPDATE items SET v = NULL WHERE id BETWEEN $1 AND $2 RETURNING id', 'items') AS r (id int);
SELECT * FROM parallel_query('SELECT set_config(''transaction_read_only'', ''off'', true) FROM items WHERE id BETWEEN $1 AND $2', 'items') AS r (id text);
SELECT * FROM parallel_query('SELECT nextval(''nowhere'') WHERE $1 <= $2', 'items') AS r (n bigint);
SELECT * FROM parallel_query('SELECT current_setting(''transaction_isolation''), current_setting(''transaction_read_only'') WHERE $1 <= $2', 'items')
    AS r (isolation text, read_only text);
-- no transaction control, no wrong columns, no missing bounds
SELECT * FROM parallel_query('COMMIT', 'items') AS r (id int);
SELECT * FROM parallel_query('SELECT id FROM items', 'items') AS r (id int);
SELECT * FROM parallel_query('SELECT id, v FROM items WHERE id BETWEEN $1 AND $2', 'items') AS r (id int);
SELECT * FROM parallel_query('SELECT v FROM items WHERE id BETWEEN $1 AND $2', 'items') AS r (id int);
SELECT * FROM parallel_query(NULL, 'items') AS r (id int);
SELECT * FROM parallel_query('SELECT 1', 'items', workers => 0) AS r (id int);
SELECT * FROM parallel_query('SELECT 1', 'items', workers => NULL) AS r (id int);
SELECT * FROM parallel_query('SELECT 1', 'items', chunk_rows => -1) AS r (id int);
SELECT parallel_query('SELECT 1', 'items');

-- an error in one chunk is the error of the call, and says in which
DO $$
DECLARE context text;
BEGIN
    PERFORM * FROM parallel_query('SELECT 1 / (id - 421) FROM items WHERE id BETWEEN $1 AND $2', 'items', chunk_rows => 100) AS r (id int);
EXCEPTION WHEN division_by_zero THEN
    GET STACKED DIAGNOSTICS context = PG_EXCEPTION_CONTEXT;
    RAISE NOTICE '% (%)', sqlerrm, split_part(context, E'\nSQL statement', 1);
END $$;
-- a timeout, and a lock of his own
SET statement_timeout = '300ms';
SELECT * FROM parallel_query('SELECT pg_sleep(60)::text WHERE $1 <= $2', 'items', chunk_rows => 10) AS r (t text);
RESET statement_timeout;
CALL until('NOT EXISTS (SELECT FROM aside.workers WHERE state = ''busy'')');
BEGIN;
LOCK TABLE items;
\set VERBOSITY terse
SELECT counted();
\set VERBOSITY default
ROLLBACK;
SELECT counted();

-- his rights: a policy, a definer, a role; his settings
CREATE ROLE parallel_reader;
GRANT aside_user TO parallel_reader;
GRANT SELECT ON items TO parallel_reader;
ALTER TABLE items ENABLE ROW LEVEL SECURITY;
CREATE POLICY low ON items TO parallel_reader USING (id <= 10);
CREATE FUNCTION counted_as_definer() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS
    $$ SELECT sum(n)::bigint FROM parallel_query('SELECT count(*) FROM items WHERE id BETWEEN $1 AND $2', 'items', chunk_rows => 100) AS r (n bigint) $$;
SELECT counted();
SET ROLE parallel_reader;
SELECT counted(), counted_as_definer();
SELECT DISTINCT u FROM parallel_query('SELECT current_user::text FROM items WHERE id BETWEEN $1 AND $2', 'items', chunk_rows => 3) AS r (u text);
RESET ROLE;
SET app.x = 'mine';
SELECT DISTINCT x FROM parallel_query('SELECT current_setting(''app.x'') FROM items WHERE id BETWEEN $1 AND $2', 'items', chunk_rows => 300) AS r (x text);
-- within an autonomous transaction, and an autonomous transaction within
SELECT * FROM autonomous_query('SELECT sum(n)::bigint FROM parallel_query(''SELECT count(*) FROM items WHERE id BETWEEN $1 AND $2'', ''items'') AS r (n bigint)')
    AS r (n bigint);
SELECT count(*), max(depth) FROM parallel_query('SELECT d FROM items, autonomous_query(''SELECT depth FROM aside.caller()'') AS c (d int) WHERE id BETWEEN $1 AND $2 AND id < 20', 'items')
    AS r (depth int);
-- rows that are longer than the rings, and more than work_mem
SET work_mem = '64kB';
SELECT count(*), sum(length(v)) FROM parallel_query('SELECT repeat(v, 100) FROM items WHERE id BETWEEN $1 AND $2', 'items', chunk_rows => 100) AS r (v text);
SELECT max(length(v)) FROM parallel_query('SELECT repeat(v, 100000) FROM items WHERE id BETWEEN $1 AND $2 AND id < 5', 'items') AS r (v text);
RESET work_mem;
-- notices come through
SET client_min_messages = notice;
CREATE FUNCTION noted(int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'at %', $1; RETURN $1; END $$;
SELECT count(*) FROM parallel_query('SELECT noted(id) FROM items WHERE id BETWEEN $1 AND $2 AND id = 7', 'items') AS r (id int);
RESET client_min_messages;
DROP FUNCTION counted, counted_as_definer, noted;
DROP TABLE items;
DROP ROLE parallel_reader;
