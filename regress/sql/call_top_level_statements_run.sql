-- Claim: a single statement that must be top-level runs as such; inside a
-- command of several statements, or below a function, it fails as the server
-- has it fail, and nothing of the command is kept.
\set VERBOSITY sqlstate
CREATE TABLE regress_t (id int PRIMARY KEY, x text);
INSERT INTO regress_t SELECT g, g % 5 FROM generate_series(1, 100) g;

SELECT autonomous_exec('VACUUM regress_t');
SELECT autonomous_exec('VACUUM (ANALYZE, FREEZE) regress_t;');
SELECT relfrozenxid::text <> '0' AND reltuples = 100 AS vacuumed FROM pg_class WHERE relname = 'regress_t';
-- these wait for every older snapshot, their caller's too: refused at once, before an invalid index is left behind
SELECT autonomous_exec('  /* first a comment */ CREATE INDEX CONCURRENTLY regress_i ON regress_t (x) ; ');
SELECT to_regclass('regress_i') IS NULL AS never_made;
CREATE INDEX regress_i ON regress_t (x);
SELECT autonomous_exec('REINDEX INDEX CONCURRENTLY regress_i');
SELECT autonomous_exec('REINDEX (CONCURRENTLY FALSE) INDEX regress_i');
SELECT indisvalid, indisready FROM pg_index WHERE indexrelid = to_regclass('regress_i');
-- what would not wait is left to the server
SELECT autonomous_exec('CREATE INDEX CONCURRENTLY regress_i ON regress_nope (x)');
SELECT autonomous_exec('REINDEX INDEX CONCURRENTLY regress_nope');
SELECT autonomous_exec('SELECT 1; CREATE INDEX CONCURRENTLY regress_j ON regress_t (x)');
SELECT autonomous_session_open('top'), autonomous_session_exec('top', 'CREATE TEMP TABLE regress_temp (x int)');
SELECT autonomous_session_exec('top', 'CREATE INDEX CONCURRENTLY regress_k ON regress_temp (x)'), autonomous_session_exec('top', 'REINDEX TABLE CONCURRENTLY regress_temp');
SELECT autonomous_session_exec('top', 'BEGIN');
SELECT autonomous_session_exec('top', 'CREATE INDEX CONCURRENTLY regress_j ON regress_t (x)');
SELECT autonomous_session_close('top');
-- this one waits for the users of the table only
SELECT autonomous_exec('DROP INDEX CONCURRENTLY regress_i');
SELECT to_regclass('regress_i') IS NULL AS dropped;
SELECT autonomous_exec('CLUSTER regress_t USING regress_t_pkey');
SELECT autonomous_exec('CHECKPOINT');

-- databases, out of the caller's own transaction block
BEGIN;
SELECT autonomous_exec('CREATE DATABASE regress_aside_db TEMPLATE template0');
ROLLBACK;
SELECT count(*) FROM pg_database WHERE datname = 'regress_aside_db';
SELECT autonomous_exec('DROP DATABASE regress_aside_db');
SELECT count(*) FROM pg_database WHERE datname = 'regress_aside_db';

-- a procedure that commits and rolls back
CREATE PROCEDURE regress_p(first int) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO regress_t VALUES (first, 'committed');
    COMMIT;
    INSERT INTO regress_t VALUES (first + 1, 'rolled back');
    ROLLBACK;
    INSERT INTO regress_t VALUES (first + 2, 'at the end');
END
$$;
BEGIN;
SELECT autonomous_exec('CALL regress_p($1)', 1000);
SELECT autonomous_exec('CALL regress_p(2000)');
ROLLBACK;
SELECT id, x FROM regress_t WHERE id >= 1000 ORDER BY id;
-- one that fails after a commit keeps what it committed, no more
CREATE PROCEDURE regress_fails(first int) LANGUAGE plpgsql AS $$
BEGIN
    CALL regress_p(first);
    RAISE EXCEPTION USING ERRCODE = 'AS001';
END
$$;
SELECT autonomous_exec('CALL regress_fails($1)', 3000);
SELECT id, x FROM regress_t WHERE id >= 3000 ORDER BY id;
-- COMMIT in a DO block is top-level too
SELECT autonomous_exec('DO $$BEGIN INSERT INTO regress_t VALUES (4000); COMMIT; INSERT INTO regress_t VALUES (4001); ROLLBACK; END$$');
SELECT id FROM regress_t WHERE id >= 4000 ORDER BY id;
-- output arguments come back as a row
CREATE PROCEDURE regress_out(a int, INOUT b int, OUT c text) LANGUAGE plpgsql AS $$
BEGIN
    b := a + b;
    COMMIT;
    c := 'after commit';
END
$$;
SELECT * FROM autonomous_query('CALL regress_out($1, $2, NULL)', 1, 2) AS (b int, c text);
-- the loop of many commits keeps settings and identity
CREATE PROCEDURE regress_loops() LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..50 LOOP
        INSERT INTO regress_t VALUES (5000 + i, current_setting('regress.x'));
        COMMIT;
    END LOOP;
END
$$;
SET regress.x = 'kept';
SELECT autonomous_exec('CALL regress_loops()');
SELECT count(*), min(x), max(x), count(DISTINCT xmin::text) FROM regress_t WHERE id > 5000;

-- not alone, or not at the top: 25001 and 2D000, and nothing is kept
TRUNCATE regress_t;
SELECT autonomous_exec('INSERT INTO regress_t VALUES (1); VACUUM regress_t');
SELECT autonomous_exec('VACUUM regress_t; INSERT INTO regress_t VALUES (1)');
SELECT autonomous_exec('CREATE DATABASE regress_aside_db TEMPLATE template0; SELECT 1');
SELECT autonomous_exec('INSERT INTO regress_t VALUES (1); CREATE INDEX CONCURRENTLY ON regress_t (x)');
SELECT autonomous_exec('INSERT INTO regress_t VALUES (1); CALL regress_p(10)');
SELECT autonomous_exec('DO $$BEGIN EXECUTE ''VACUUM regress_t''; END$$');
CREATE FUNCTION regress_f() RETURNS void LANGUAGE plpgsql AS 'BEGIN CALL regress_p(10); END';
SELECT autonomous_exec('SELECT regress_f()');
SELECT * FROM regress_t;
SELECT count(*) FROM pg_database WHERE datname = 'regress_aside_db';

DROP FUNCTION regress_f();
DROP PROCEDURE regress_p, regress_fails, regress_out, regress_loops;
DROP TABLE regress_t;
