-- Claim: COMMIT and ROLLBACK work inside an autonomous procedure, function or
-- DO block, also when the caller is within a function, a transaction block or
-- a subtransaction; where the server forbids them they are refused (2D000).
-- What a routine has not ended itself is committed at its end, or, with
-- aside.uncommitted_at_exit = error, refused (2D000) if it could have done so.
\set VERBOSITY sqlstate
CREATE TABLE regress_t (n int, note text);
CREATE PROCEDURE regress_steps(INOUT a int, b text DEFAULT 'proc') LANGUAGE plpgsql_autonomous AS $$
BEGIN
    INSERT INTO regress_t VALUES (a, b || ' committed');
    COMMIT;
    INSERT INTO regress_t VALUES (a + 1, b || ' rolled back');
    ROLLBACK;
    INSERT INTO regress_t VALUES (a + 2, b || ' at exit');
    a := a + 10;
END
$$;
CREATE FUNCTION regress_steps_f(a int, b text DEFAULT 'func') RETURNS text LANGUAGE plpgsql_autonomous AS $$
DECLARE
    large text := repeat(b, 100000);
BEGIN
    FOR i IN 0..4 LOOP
        INSERT INTO regress_t VALUES (a + i, b);
        IF i % 2 = 0 THEN COMMIT; ELSE ROLLBACK; END IF;
    END LOOP;
    RETURN large;
END
$$;

CALL regress_steps(1);
SELECT length(regress_steps_f(10));
SELECT * FROM regress_t ORDER BY n;
TRUNCATE regress_t;
-- within a block that is rolled back, a subtransaction, a function, a cursor loop
BEGIN;
INSERT INTO regress_t VALUES (0, 'caller');
SAVEPOINT s;
CALL regress_steps(1, 'block');
SELECT length(regress_steps_f(10, 'block'));
ROLLBACK TO s;
ROLLBACK;
CREATE FUNCTION regress_caller() RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    a int := 20;
    r record;
BEGIN
    FOR r IN SELECT 20 AS n UNION ALL SELECT 30 LOOP
        BEGIN
            a := r.n;
            CALL regress_steps(a, 'function');
            PERFORM regress_steps_f(a, 'function');
            PERFORM 1 / (30 - r.n);
        EXCEPTION WHEN division_by_zero THEN
            a := -a;
        END;
    END LOOP;
    RETURN a;
END
$$;
SELECT regress_caller();
SELECT * FROM regress_t ORDER BY n, note;
TRUNCATE regress_t;
-- DO blocks
DO LANGUAGE plpgsql_autonomous $$
BEGIN
    FOR i IN 1..3 LOOP
        INSERT INTO regress_t VALUES (i, 'do ''quoted'' \ ');
        IF i = 2 THEN ROLLBACK; ELSE COMMIT; END IF;
    END LOOP;
    INSERT INTO regress_t VALUES (4, 'at exit');
END
$$;
BEGIN;
DO LANGUAGE plpgsql_autonomous 'BEGIN INSERT INTO regress_t VALUES (5, ''do in a block''); COMMIT; INSERT INTO regress_t VALUES (6, ''at exit''); END';
ROLLBACK;
DO LANGUAGE plpgsql_autonomous 'BEGIN INSERT INTO regress_t VALUES (7, ''committed before the error''); COMMIT; PERFORM 1 / 0; END';
DO LANGUAGE plpgsql_autonomous 'BEGIN INSERT INTO regress_t VALUES (8, ''never''); PERFORM 1 / 0; END';
SELECT * FROM regress_t ORDER BY n;
TRUNCATE regress_t;

-- loops over cursors, chained transactions, results made before a commit
CREATE FUNCTION regress_batches(n int, OUT first regress_t, OUT commits int) LANGUAGE plpgsql_autonomous AS $$
DECLARE
    r record;
BEGIN
    commits := 0;
    first := ROW(n, 'kept');
    FOR r IN SELECT i FROM generate_series(1, n) i LOOP
        INSERT INTO regress_t VALUES (r.i, 'batch');
        IF r.i % 10 = 0 THEN
            COMMIT AND CHAIN;
            commits := commits + 1;
        END IF;
    END LOOP;
    ROLLBACK AND CHAIN;
END
$$;
SELECT * FROM regress_batches(35);
SELECT count(*) FROM regress_t;
TRUNCATE regress_t;
-- within an exception block, in a query of the routine, and in what a plain function calls
CREATE FUNCTION regress_in_exception() RETURNS int LANGUAGE plpgsql_autonomous AS
    'BEGIN BEGIN INSERT INTO regress_t VALUES (1, ''never''); COMMIT; EXCEPTION WHEN division_by_zero THEN NULL; END; RETURN 1; END';
SELECT regress_in_exception();
CREATE PROCEDURE regress_plain() LANGUAGE plpgsql AS 'BEGIN INSERT INTO regress_t VALUES (2, ''plain''); COMMIT; END';
CREATE FUNCTION regress_calls_plain() RETURNS int LANGUAGE plpgsql_autonomous AS
    'BEGIN CALL regress_plain(); ROLLBACK; CALL regress_plain(); RETURN 1; END';
SELECT regress_calls_plain();
SELECT count(*) AS two FROM regress_t;
TRUNCATE regress_t;

-- not where the server forbids it: SET clauses, SECURITY DEFINER and what is called from one, sets, triggers
CREATE PROCEDURE regress_ends(b text) LANGUAGE plpgsql_autonomous AS
    'BEGIN INSERT INTO regress_t VALUES (0, b); COMMIT; END';
ALTER PROCEDURE regress_ends SET work_mem = '1MB';
CALL regress_ends('set');
ALTER PROCEDURE regress_ends RESET ALL;
ALTER PROCEDURE regress_ends SECURITY DEFINER;
CALL regress_ends('definer');
ALTER PROCEDURE regress_ends SECURITY INVOKER;
CREATE FUNCTION regress_definer() RETURNS void SECURITY DEFINER LANGUAGE plpgsql AS 'BEGIN CALL regress_ends(''from a definer''); END';
SELECT regress_definer();
CREATE FUNCTION regress_set() RETURNS SETOF int LANGUAGE plpgsql_autonomous AS
    'BEGIN RETURN NEXT 1; INSERT INTO regress_t VALUES (0, ''set''); COMMIT; RETURN NEXT 2; END';
SELECT regress_set();
CREATE FUNCTION regress_trigger() RETURNS trigger LANGUAGE plpgsql_autonomous AS
    'BEGIN INSERT INTO regress_t VALUES (0, ''trigger''); COMMIT; RETURN NEW; END';
CREATE TABLE regress_u (n int);
CREATE TRIGGER regress_tr BEFORE INSERT ON regress_u FOR EACH ROW EXECUTE FUNCTION regress_trigger();
INSERT INTO regress_u VALUES (1);
SELECT * FROM regress_t;
-- and a routine that may
CALL regress_ends('at last');
SELECT * FROM regress_t;
TRUNCATE regress_t;

-- uncommitted at exit
SHOW aside.uncommitted_at_exit;
SET aside.uncommitted_at_exit = error;
CREATE FUNCTION regress_leaves(n int, how text DEFAULT NULL) RETURNS int LANGUAGE plpgsql_autonomous AS $$
BEGIN
    IF n > 0 THEN
        INSERT INTO regress_t VALUES (n, coalesce(how, 'left'));
    END IF;
    IF how = 'commit' THEN COMMIT; ELSIF how = 'rollback' THEN ROLLBACK; END IF;
    RETURN (SELECT count(*) FROM regress_t);
END
$$;
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT regress_leaves(1);
\set VERBOSITY sqlstate
SELECT regress_leaves(0) AS reads_only, regress_leaves(2, 'commit') AS commits, regress_leaves(3, 'rollback') AS rolls_back;
CALL regress_steps(1);
CALL regress_ends('commits');
DO LANGUAGE plpgsql_autonomous 'BEGIN INSERT INTO regress_t VALUES (4, ''left''); END';
DO LANGUAGE plpgsql_autonomous 'BEGIN INSERT INTO regress_t VALUES (5, ''do''); COMMIT; END';
-- other calls, and routines that cannot end their transaction, are not asked to
SELECT autonomous_exec('INSERT INTO regress_t VALUES (6, ''exec'')');
ALTER PROCEDURE regress_ends SECURITY DEFINER;
CREATE OR REPLACE FUNCTION regress_trigger() RETURNS trigger LANGUAGE plpgsql_autonomous AS
    'BEGIN INSERT INTO regress_t VALUES (7, ''trigger''); RETURN NEW; END';
INSERT INTO regress_u VALUES (1);
ALTER FUNCTION regress_leaves(int, text) SECURITY DEFINER;
SELECT regress_leaves(8) AS definer;
RESET aside.uncommitted_at_exit;
SELECT * FROM regress_t ORDER BY n, note;
SET aside.uncommitted_at_exit = nonsense;

-- a deferred constraint speaks up at the routine's own COMMIT, or at its end
CREATE TABLE regress_unique (n int UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION regress_twice(own boolean) RETURNS int LANGUAGE plpgsql_autonomous AS $$
BEGIN
    INSERT INTO regress_unique VALUES (1);
    INSERT INTO regress_unique VALUES (1);
    IF own THEN COMMIT; END IF;
    RETURN 1;
END
$$;
SELECT regress_twice(true);
SELECT regress_twice(false);
SELECT count(*) FROM regress_unique;
-- what a routine commits is its own: the caller's snapshot and its cursors stay
BEGIN;
DECLARE c CURSOR FOR SELECT i, length(regress_steps_f(i, 'c')) FROM generate_series(1, 3) i;
FETCH 1 FROM c;
CALL regress_steps(1);
FETCH 1 FROM c;
FETCH ALL FROM c;
COMMIT;

DROP FUNCTION regress_batches(int);
DROP TABLE regress_t, regress_u, regress_unique;
DROP PROCEDURE regress_steps(int, text), regress_ends(text), regress_plain();
DROP FUNCTION regress_steps_f(int, text), regress_caller(), regress_in_exception(), regress_calls_plain(), regress_definer(),
    regress_set(), regress_trigger(), regress_leaves(int, text), regress_twice(boolean);
