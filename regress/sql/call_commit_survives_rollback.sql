-- Claim: a command commits in another transaction before the call returns;
-- no rollback of the caller touches it; several statements are one
-- transaction that sees its own effects and fails as one.
\set VERBOSITY sqlstate
CREATE TABLE regress_audit (id int PRIMARY KEY, note text);

-- visible to the caller's next statement, still inside its transaction
BEGIN;
SELECT autonomous_exec($$INSERT INTO regress_audit VALUES (1, 'transaction')$$);
SELECT * FROM regress_audit;
ROLLBACK;
SELECT * FROM regress_audit;

-- not visible to a snapshot the caller took before
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM regress_audit;
SELECT autonomous_exec($$INSERT INTO regress_audit VALUES (2, 'repeatable read')$$);
SELECT count(*) FROM regress_audit;
ROLLBACK;

-- rollback to a savepoint
BEGIN;
SAVEPOINT s;
SELECT autonomous_exec($$INSERT INTO regress_audit VALUES (3, 'savepoint')$$);
ROLLBACK TO s;
COMMIT;

-- a PL/pgSQL exception block
DO $$
BEGIN
    PERFORM autonomous_exec('INSERT INTO regress_audit VALUES (4, ''exception block'')');
    RAISE division_by_zero;
EXCEPTION WHEN division_by_zero THEN
    NULL;
END
$$;

-- an error of the caller's own statement, after the call in the same statement
SELECT autonomous_exec($$INSERT INTO regress_audit VALUES (5, 'statement')$$) / 0;

-- another transaction indeed: another id, and the caller gets none of its own
BEGIN;
SELECT autonomous_exec('INSERT INTO regress_audit VALUES (6, pg_current_xact_id()::text)');
SELECT pg_current_xact_id_if_assigned() IS NULL AS caller_has_no_xid;
ROLLBACK;
UPDATE regress_audit SET note = 'xid' WHERE id = 6;

-- what the caller has not committed is not seen
BEGIN;
INSERT INTO regress_audit VALUES (100, 'uncommitted');
SELECT * FROM autonomous_query('SELECT count(*) FROM regress_audit WHERE id = 100') AS (n bigint);
ROLLBACK;
SELECT * FROM regress_audit ORDER BY id;

-- several statements: one transaction, seeing each other
TRUNCATE regress_audit;
SELECT autonomous_exec($$
    CREATE TABLE regress_made (id int PRIMARY KEY, x text);
    INSERT INTO regress_made VALUES (1, txid_current()::text), (2, 'two');
    INSERT INTO regress_made SELECT id + 10, x FROM regress_made;
    UPDATE regress_made SET x = (x = txid_current()::text)::text WHERE id IN (1, 11);
    DELETE FROM regress_made WHERE id = 12
$$);
SELECT * FROM regress_made ORDER BY id;

-- the failure of one undoes all: data, DDL, and what came before a syntax error
SELECT autonomous_exec($$
    INSERT INTO regress_audit VALUES (1, 'never');
    DROP TABLE regress_made;
    SELECT 1/0;
    INSERT INTO regress_audit VALUES (2, 'never')
$$);
SELECT autonomous_exec($$INSERT INTO regress_audit VALUES (3, 'never'); SELEC 1$$);
SELECT autonomous_exec($$INSERT INTO regress_audit VALUES (4, 'never'); SELECT * FROM regress_no_such_table$$);
SELECT count(*) AS rows_of_failed FROM regress_audit;
SELECT count(*) AS still_there FROM regress_made;

-- constraints deferred to the commit are checked by the commit: the call fails
CREATE TABLE regress_child (id int REFERENCES regress_made DEFERRABLE INITIALLY DEFERRED);
SELECT autonomous_exec('INSERT INTO regress_child VALUES (77)');
SELECT autonomous_exec('INSERT INTO regress_child VALUES (77); INSERT INTO regress_made VALUES (77)');
SELECT id FROM regress_child;

-- a call for each row, and a call inside a trigger
SELECT sum(autonomous_exec('INSERT INTO regress_audit VALUES ($1, $2)', g, 'row ' || g))
FROM generate_series(1, 5) g;
CREATE FUNCTION regress_audit_it() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM autonomous_exec('INSERT INTO regress_audit VALUES ($1, $2)', 1000 + NEW.id, TG_OP);
    RETURN NEW;
END
$$;
CREATE TRIGGER audit AFTER INSERT ON regress_made FOR EACH ROW EXECUTE FUNCTION regress_audit_it();
BEGIN;
INSERT INTO regress_made VALUES (21), (22);
ROLLBACK;
SELECT id, note FROM regress_audit WHERE id > 1000 ORDER BY id;

DROP TABLE regress_child, regress_made, regress_audit;
DROP FUNCTION regress_audit_it();
