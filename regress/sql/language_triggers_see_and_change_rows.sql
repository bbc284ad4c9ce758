-- Claim: a trigger function in LANGUAGE plpgsql_autonomous sees TG_*, NEW and
-- OLD as one in PL/pgSQL does, and what a BEFORE or INSTEAD OF row trigger
-- returns is applied; constraint triggers are called when they are due. Its
-- effects stay when the statement is rolled back. Transition tables and event
-- triggers are refused (0A000); a table that the caller has locked
-- exclusively is a deadlock (40P01), not a hang.
\set SHOW_CONTEXT never
CREATE TABLE regress_log (id int GENERATED ALWAYS AS IDENTITY, entry text);
CREATE TABLE regress_t (n int, gone text, note text, big text, double int GENERATED ALWAYS AS (n * 2) STORED, pairs int[]);
INSERT INTO regress_t VALUES (100, 'gone', 'before the column was dropped');
ALTER TABLE regress_t DROP COLUMN gone, ADD COLUMN later text DEFAULT 'fast default';
CREATE FUNCTION regress_audit() RETURNS trigger LANGUAGE plpgsql_autonomous AS $$
BEGIN
    INSERT INTO regress_log (entry) VALUES (concat_ws(' ', TG_NAME, TG_WHEN, TG_LEVEL, TG_OP, TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME,
        TG_RELID = TG_TABLE_NAME::regclass, TG_NARGS, TG_ARGV[0], TG_ARGV[1], coalesce(TG_ARGV[2], '(none)')));
    IF TG_LEVEL = 'ROW' THEN
        INSERT INTO regress_log (entry) VALUES (format('  old %s new %s', to_jsonb(OLD) - 'big', to_jsonb(NEW) - 'big'));
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;

-- before and after, row and statement
CREATE TRIGGER regress_1 BEFORE INSERT OR UPDATE OR DELETE ON regress_t FOR EACH ROW EXECUTE FUNCTION regress_audit('a''b', ' second \ ');
CREATE TRIGGER regress_2 AFTER INSERT OR UPDATE OR DELETE ON regress_t FOR EACH ROW EXECUTE FUNCTION regress_audit();
CREATE TRIGGER regress_3 BEFORE INSERT OR UPDATE OR DELETE ON regress_t EXECUTE FUNCTION regress_audit('');
CREATE TRIGGER regress_4 AFTER INSERT OR UPDATE OR DELETE ON regress_t EXECUTE FUNCTION regress_audit();
INSERT INTO regress_t VALUES (1, 'one', NULL, DEFAULT, '{1,NULL}');
UPDATE regress_t SET note = 'changed' WHERE n < 1000 RETURNING n, note, later;
BEGIN;
DELETE FROM regress_t WHERE n = 1;
ROLLBACK;
DELETE FROM regress_t WHERE n = 1000;
SELECT entry FROM regress_log ORDER BY id;
SELECT n, note, double, pairs, later FROM regress_t ORDER BY n;
DROP TRIGGER regress_1 ON regress_t;
DROP TRIGGER regress_2 ON regress_t;
DROP TRIGGER regress_3 ON regress_t;
DROP TRIGGER regress_4 ON regress_t;
TRUNCATE regress_t, regress_log RESTART IDENTITY;

-- what a BEFORE row trigger returns
CREATE FUNCTION regress_changes() RETURNS trigger LANGUAGE plpgsql_autonomous AS $$
BEGIN
    IF NEW.n = 1 THEN RETURN NULL; END IF;
    IF NEW.n = 2 THEN NEW.note := 'changed'; NEW.pairs[3] := NEW.double; END IF;
    IF NEW.n = 3 THEN NEW.big := repeat('big', 100000); END IF;
    IF NEW.n = 4 THEN NEW := jsonb_populate_record(NEW, '{"n": 44, "note": "all new", "double": 1}'); END IF;
    IF NEW.n = 5 THEN RAISE EXCEPTION 'not %', NEW.n USING ERRCODE = 'Z0005', COLUMN = 'n'; END IF;
    IF NEW.n = 6 AND TG_OP = 'UPDATE' THEN RETURN OLD; END IF;
    IF TG_OP = 'DELETE' THEN
        IF OLD.n = 2 THEN RETURN NULL; END IF;
        RETURN OLD;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER regress_1 BEFORE INSERT OR UPDATE OR DELETE ON regress_t FOR EACH ROW EXECUTE FUNCTION regress_changes();
INSERT INTO regress_t (n, note) SELECT i, 'row ' || i FROM generate_series(0, 4) i RETURNING n, note, length(big), double, pairs;
INSERT INTO regress_t (n, note) VALUES (5, 'refused');
INSERT INTO regress_t (n, note, big) VALUES (7, 'large', repeat('LARGE', 200000));
UPDATE regress_t SET n = n, note = 'updated' RETURNING n, note, length(big), double;
UPDATE regress_t SET n = 6 WHERE n = 0 RETURNING n;
UPDATE regress_t SET n = 1 WHERE n = 7 RETURNING n;
DELETE FROM regress_t RETURNING n, md5(big);
SELECT n, note, double, pairs FROM regress_t ORDER BY n;
DROP TRIGGER regress_1 ON regress_t;
TRUNCATE regress_t;
-- INSERT ON CONFLICT, COPY, foreign keys, partitions
CREATE TABLE regress_parent (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE regress_part_1 PARTITION OF regress_parent FOR VALUES FROM (0) TO (10);
CREATE TABLE regress_part_2 (v text, id int NOT NULL);
ALTER TABLE regress_parent ATTACH PARTITION regress_part_2 FOR VALUES FROM (10) TO (20);
CREATE TABLE regress_child (id int REFERENCES regress_parent ON DELETE CASCADE);
CREATE FUNCTION regress_where() RETURNS trigger LANGUAGE plpgsql_autonomous AS $$
BEGIN
    INSERT INTO regress_log (entry) VALUES (concat_ws(' ', TG_NAME, TG_OP, TG_TABLE_NAME, OLD, '->', NEW));
    IF TG_WHEN = 'BEFORE' AND TG_OP <> 'DELETE' AND TG_TABLE_NAME <> 'regress_child' THEN NEW.v := NEW.v || '+'; END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
CREATE TRIGGER regress_b BEFORE INSERT OR UPDATE OR DELETE ON regress_parent FOR EACH ROW EXECUTE FUNCTION regress_where();
CREATE TRIGGER regress_a AFTER INSERT OR UPDATE OR DELETE ON regress_parent FOR EACH ROW EXECUTE FUNCTION regress_where();
CREATE TRIGGER regress_c BEFORE INSERT OR DELETE ON regress_child FOR EACH ROW EXECUTE FUNCTION regress_where();
INSERT INTO regress_parent VALUES (1, 'one'), (11, 'eleven');
INSERT INTO regress_parent VALUES (1, 'again') ON CONFLICT (id) DO UPDATE SET v = excluded.v || '!';
COPY regress_parent FROM stdin;
2	copied
12	copied
\.
UPDATE regress_parent SET id = 13 WHERE id = 2;
INSERT INTO regress_child VALUES (1), (13);
DELETE FROM regress_parent WHERE id = 13;
SELECT entry FROM regress_log ORDER BY id;
SELECT tableoid::regclass, * FROM regress_parent ORDER BY id;
SELECT * FROM regress_child;
DROP TABLE regress_child, regress_parent;
DROP FUNCTION regress_where();
TRUNCATE regress_log RESTART IDENTITY;

-- INSTEAD OF
CREATE VIEW regress_v AS SELECT n, note FROM regress_t;
CREATE FUNCTION regress_instead() RETURNS trigger LANGUAGE plpgsql_autonomous AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.n < 0 THEN RETURN NULL; END IF;
        NEW.note := NEW.note || ' instead';
        INSERT INTO regress_t (n, note) VALUES (NEW.n, NEW.note);
        RETURN NEW;
    ELSIF TG_OP = 'UPDATE' THEN
        UPDATE regress_t SET n = NEW.n, note = NEW.note WHERE n = OLD.n;
        RETURN NEW;
    ELSE
        DELETE FROM regress_t WHERE n = OLD.n;
        RETURN OLD;
    END IF;
END
$$;
CREATE TRIGGER regress_i INSTEAD OF INSERT OR UPDATE OR DELETE ON regress_v FOR EACH ROW EXECUTE FUNCTION regress_instead();
BEGIN;
INSERT INTO regress_v VALUES (1, 'one'), (-1, 'none'), (2, 'two') RETURNING *;
UPDATE regress_v SET n = n + 10 WHERE n = 1 RETURNING *;
DELETE FROM regress_v WHERE n = 2 RETURNING *;
ROLLBACK;
SELECT * FROM regress_v;
DROP VIEW regress_v;
TRUNCATE regress_t;

-- constraint triggers: at the statement's end, at COMMIT, or when told to
CREATE CONSTRAINT TRIGGER regress_k AFTER INSERT OR UPDATE ON regress_t DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.n < 5) EXECUTE FUNCTION regress_audit('deferred');
BEGIN;
INSERT INTO regress_t (n) VALUES (1), (5);
SELECT count(*) AS none_yet FROM regress_log;
COMMIT;
SELECT count(*) AS entries FROM regress_log;
BEGIN;
INSERT INTO regress_t (n) VALUES (2);
SET CONSTRAINTS regress_k IMMEDIATE;
SELECT count(*) AS entries FROM regress_log;
ROLLBACK;
SELECT entry FROM regress_log ORDER BY id;
CREATE OR REPLACE FUNCTION regress_audit() RETURNS trigger LANGUAGE plpgsql_autonomous AS
    'BEGIN INSERT INTO regress_log (entry) VALUES (''not kept''); RAISE EXCEPTION ''no % at commit'', NEW.n; END';
INSERT INTO regress_t (n) VALUES (3);
SELECT count(*) FROM regress_t;
DROP TRIGGER regress_k ON regress_t;
TRUNCATE regress_t, regress_log RESTART IDENTITY;

-- nested: a trigger whose own work fires triggers, one in the caller that calls one aside
CREATE TABLE regress_u (n int, depth int);
CREATE FUNCTION regress_down() RETURNS trigger LANGUAGE plpgsql_autonomous AS $$
BEGIN
    NEW.depth := 3 - NEW.n;
    IF NEW.n > 0 THEN INSERT INTO regress_u VALUES (NEW.n - 1); END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER regress_d BEFORE INSERT ON regress_u FOR EACH ROW EXECUTE FUNCTION regress_down();
BEGIN;
INSERT INTO regress_u VALUES (3);
ROLLBACK;
SELECT * FROM regress_u ORDER BY n;
DROP TABLE regress_u;

-- what the caller's transaction has changed
CREATE TABLE regress_w (n int, ref text);
CREATE FUNCTION regress_args() RETURNS trigger LANGUAGE plpgsql_autonomous AS
    'BEGIN NEW.ref := TG_NAME || TG_ARGV::text; RETURN NEW; END';
BEGIN;
CREATE TRIGGER regress_x BEFORE INSERT ON regress_w FOR EACH ROW EXECUTE FUNCTION regress_args('made just now');
INSERT INTO regress_w VALUES (1) RETURNING ref;
CREATE OR REPLACE TRIGGER regress_x BEFORE INSERT ON regress_w FOR EACH ROW EXECUTE FUNCTION regress_args('replaced', 'just now');
INSERT INTO regress_w VALUES (2) RETURNING ref;
COMMIT;
-- (the statistics' update throws away what the server has cached of the table)
CREATE OR REPLACE FUNCTION regress_args() RETURNS trigger LANGUAGE plpgsql_autonomous AS $$
BEGIN
    PERFORM autonomous_exec('GRANT SELECT ON regress_w TO PUBLIC');
    PERFORM count(*) FROM regress_w;
    PERFORM autonomous_exec('ANALYZE regress_w');
    PERFORM count(*) FROM regress_w;
    NEW.ref := TG_NAME || TG_ARGV::text;
    RETURN NEW;
END
$$;
INSERT INTO regress_w VALUES (3), (4) RETURNING ref;
\set VERBOSITY sqlstate
BEGIN;
CREATE TABLE regress_new (n int, ref text);
CREATE TRIGGER regress_x BEFORE INSERT ON regress_new FOR EACH ROW EXECUTE FUNCTION regress_args();
INSERT INTO regress_new VALUES (1);
ROLLBACK;
BEGIN;
LOCK TABLE regress_w;
INSERT INTO regress_w VALUES (5);
ROLLBACK;
BEGIN;
ALTER TABLE regress_w ADD COLUMN more int;
INSERT INTO regress_w VALUES (5);
ROLLBACK;
BEGIN;
TRUNCATE regress_w;
INSERT INTO regress_w VALUES (5);
ROLLBACK;
BEGIN;
UPDATE regress_w SET ref = NULL WHERE n = 3;
CREATE OR REPLACE FUNCTION regress_args() RETURNS trigger LANGUAGE plpgsql_autonomous AS 'BEGIN RETURN NEW; END';
INSERT INTO regress_w VALUES (5);
ROLLBACK;
-- system columns
CREATE OR REPLACE FUNCTION regress_args() RETURNS trigger LANGUAGE plpgsql_autonomous AS
    'BEGIN NEW.ref := NEW.tableoid::regclass || '' '' || (SELECT count(*) FROM regress_w WHERE ctid = OLD.ctid AND n = OLD.n); RETURN NEW; END';
CREATE TRIGGER regress_z BEFORE UPDATE ON regress_w FOR EACH ROW EXECUTE FUNCTION regress_args();
UPDATE regress_w SET ref = NULL WHERE n >= 3 RETURNING ref;
DROP TRIGGER regress_z ON regress_w;
-- its own row
CREATE OR REPLACE FUNCTION regress_args() RETURNS trigger LANGUAGE plpgsql_autonomous AS
    'BEGIN UPDATE regress_w SET ref = ''theirs'' WHERE n = NEW.n; RETURN NEW; END';
CREATE TRIGGER regress_y AFTER UPDATE ON regress_w FOR EACH ROW EXECUTE FUNCTION regress_args();
UPDATE regress_w SET ref = 'mine' WHERE n = 3;
SELECT n, ref FROM regress_w ORDER BY n;
DROP TABLE regress_w;
-- a temporary table
CREATE TEMPORARY TABLE regress_temp (n int, ref text);
CREATE OR REPLACE FUNCTION regress_args() RETURNS trigger LANGUAGE plpgsql_autonomous AS
    'BEGIN NEW.ref := TG_TABLE_NAME; RETURN NEW; END';
CREATE TRIGGER regress_x BEFORE INSERT ON regress_temp FOR EACH ROW EXECUTE FUNCTION regress_args();
INSERT INTO regress_temp VALUES (1) RETURNING ref;
DROP TABLE regress_temp;

-- refused
\set VERBOSITY default
CREATE TRIGGER regress_tr AFTER INSERT ON regress_t REFERENCING NEW TABLE AS new_rows EXECUTE FUNCTION regress_audit();
INSERT INTO regress_t (n) VALUES (1);
DROP TRIGGER regress_tr ON regress_t;
CREATE TRIGGER regress_tr AFTER UPDATE ON regress_t REFERENCING OLD TABLE AS old_rows FOR EACH ROW EXECUTE FUNCTION regress_audit();
INSERT INTO regress_t (n) VALUES (1);
UPDATE regress_t SET n = 2;
DROP TRIGGER regress_tr ON regress_t;
SELECT regress_audit();
CREATE FUNCTION regress_event() RETURNS event_trigger LANGUAGE plpgsql_autonomous AS 'BEGIN END';

-- many rows
CREATE TABLE regress_many (n int, seen boolean);
CREATE FUNCTION regress_each() RETURNS trigger LANGUAGE plpgsql_autonomous AS
    'BEGIN IF NEW.n % 5 = 0 THEN RETURN NULL; END IF; NEW.seen := NEW.n % 2 = 0; RETURN NEW; END';
CREATE TRIGGER regress_e BEFORE INSERT ON regress_many FOR EACH ROW EXECUTE FUNCTION regress_each();
INSERT INTO regress_many SELECT generate_series(1, 100000);
SELECT count(*), count(*) FILTER (WHERE seen), sum(n) FROM regress_many;

DROP TABLE regress_t, regress_log, regress_many;
DROP FUNCTION regress_audit(), regress_changes(), regress_instead(), regress_down(), regress_args(), regress_each();
