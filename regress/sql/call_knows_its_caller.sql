-- Claim: autonomous code finds its caller where it would look without autonomy:
-- current_query(), the client's address, pg_trigger_depth(), and aside.caller()
-- for the rest: in calls, routines, triggers, sessions and tasks, at any depth.
SET client_min_messages = warning;
CREATE ROLE regress_aside_teller;
GRANT aside_user TO regress_aside_teller;
CREATE TABLE regress_told (id int GENERATED ALWAYS AS IDENTITY, what text);
GRANT ALL ON regress_told TO regress_aside_teller;
SET application_name = 'the program';
SELECT pg_backend_pid() AS me \gset
-- what is the same in each run
CREATE VIEW regress_caller AS
    SELECT c.pid - current_setting('regress.me')::int AS caller, c.client_pid - current_setting('regress.me')::int AS client, depth,
        session_user_name = session_user AS login, user_name, c.application_name, client_addr, client_port, server_addr, server_port,
        query, xid, stack
    FROM aside.caller() AS c;
GRANT SELECT ON regress_caller TO PUBLIC;
SELECT set_config('regress.me', :'me', false) = :'me' AS set;
\x

-- nobody's
SELECT * FROM aside.caller();

-- a call
SET ROLE regress_aside_teller;
SELECT caller, client, depth, login, user_name, application_name, query, xid IS NULL AS no_xid, stack
FROM autonomous_query('TABLE regress_caller') AS (caller int, client int, depth int, login bool, user_name name,
    application_name text, ca inet, cp int, sa inet, sp int, query text, xid xid8, stack text);
SELECT now_here IS NULL AS by_socket, here.q = inside.q AS same FROM (VALUES (inet_client_addr(), inet_client_port(), current_query())) AS here(now_here, p, q),
    autonomous_query('SELECT inet_client_addr(), inet_client_port(), current_query()') AS inside(a inet, port int, q text)
WHERE now_here IS NOT DISTINCT FROM a AND p IS NOT DISTINCT FROM port;
RESET ROLE;
\x
-- each statement has its own
SELECT q FROM autonomous_query('SELECT current_query()') AS q(q text);
SELECT q AS another FROM autonomous_query('SELECT current_query()') AS q(q text);
-- the transaction, if it has a number
BEGIN;
SELECT pg_current_xact_id() AS xid \gset
SELECT x = :'xid' AS same FROM autonomous_query('SELECT xid FROM aside.caller()') AS q(x xid8);
ROLLBACK;

-- a call within a call: its caller is a worker, and the client the same
SELECT * FROM autonomous_query($$SELECT * FROM autonomous_query('SELECT c.pid = w.pid, client, c.depth, c.query
        FROM regress_caller r, aside.caller() c, (SELECT pid FROM aside.workers WHERE depth = 1) w') AS (a bool, b int, c int, d text)$$)
    AS (caller_is_a_worker bool, client int, depth int, query text);

-- routines, and where they were called
CREATE FUNCTION regress_tells() RETURNS text LANGUAGE plpgsql_autonomous AS
    $$ BEGIN RETURN (SELECT concat_ws('; ', 'depth ' || depth, query, 'stack: ' || replace(stack, E'\n', ', ')) FROM regress_caller); END $$;
CREATE FUNCTION regress_asks() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    answer := regress_tells();
    RETURN answer;
END $$;
SELECT regress_asks();
SET aside.caller_stack = on;
SELECT regress_asks();
SELECT regress_tells();
RESET aside.caller_stack;
DO LANGUAGE plpgsql_autonomous $$ BEGIN RAISE WARNING '%', current_query(); END $$;

-- triggers: their depth is what it is without autonomy, so that a guard against recursion does what it should
CREATE TABLE regress_upper (i int PRIMARY KEY);
CREATE TABLE regress_lower (i int REFERENCES regress_upper ON DELETE CASCADE);
CREATE FUNCTION regress_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO regress_told (what) VALUES (format('%s: %s %s %s, depth %s, by %s', CASE WHEN tg_argv[0] IS NULL THEN 'plain' ELSE 'autonomous' END,
        tg_when, tg_op, tg_level, pg_trigger_depth(), current_query()));
    RETURN CASE tg_op WHEN 'DELETE' THEN old ELSE new END;
END $$;
CREATE FUNCTION regress_note_alone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
SELECT replace(pg_get_functiondef('regress_note()'::regprocedure), 'plpgsql', 'plpgsql_autonomous') AS def \gset
SELECT replace(:'def', 'regress_note', 'regress_note_alone') AS def \gset
DROP FUNCTION regress_note_alone();
:def;
CREATE FUNCTION regress_insert_lower() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO regress_lower VALUES (new.i); RETURN new; END $$;
CREATE TRIGGER a_lower AFTER INSERT ON regress_upper FOR EACH ROW EXECUTE FUNCTION regress_insert_lower();
CREATE TRIGGER b_plain BEFORE INSERT OR DELETE ON regress_lower FOR EACH ROW EXECUTE FUNCTION regress_note();
CREATE TRIGGER b_alone BEFORE INSERT OR DELETE ON regress_lower FOR EACH ROW EXECUTE FUNCTION regress_note_alone('x');
CREATE TRIGGER c_plain AFTER INSERT ON regress_lower FOR EACH STATEMENT EXECUTE FUNCTION regress_note();
CREATE TRIGGER c_alone AFTER INSERT ON regress_lower FOR EACH STATEMENT EXECUTE FUNCTION regress_note_alone('x');
INSERT INTO regress_upper VALUES (1);
DELETE FROM regress_upper;
INSERT INTO regress_upper VALUES (2);
INSERT INTO regress_lower VALUES (2);
SELECT what FROM regress_told ORDER BY id;
-- the guard that people write
CREATE FUNCTION regress_guarded() RETURNS trigger LANGUAGE plpgsql_autonomous AS
    $$ BEGIN IF pg_trigger_depth() = 1 THEN INSERT INTO regress_told (what) VALUES ('guarded'); END IF; RETURN new; END $$;
CREATE TRIGGER d_guarded BEFORE UPDATE ON regress_lower FOR EACH ROW EXECUTE FUNCTION regress_guarded();
BEGIN;
UPDATE regress_lower SET i = i WHERE ctid = (SELECT min(ctid) FROM regress_lower);
ROLLBACK;
SELECT count(*) FROM regress_told WHERE what = 'guarded';

\set VERBOSITY terse
-- triggers of TRUNCATE, which locks the table against everybody: nothing of it is asked for, unless the body does
TRUNCATE regress_told;
CREATE TRIGGER e_alone BEFORE TRUNCATE ON regress_lower EXECUTE FUNCTION regress_note_alone('x');
CREATE TRIGGER f_alone AFTER TRUNCATE ON regress_lower EXECUTE FUNCTION regress_note_alone('x');
BEGIN;
TRUNCATE regress_lower;
ROLLBACK;
SELECT what FROM regress_told ORDER BY id;
CREATE FUNCTION regress_looks() RETURNS trigger LANGUAGE plpgsql_autonomous AS $$ BEGIN PERFORM count(*) FROM regress_lower; RETURN NULL; END $$;
CREATE TRIGGER g_looks BEFORE TRUNCATE ON regress_lower EXECUTE FUNCTION regress_looks();
TRUNCATE regress_lower;
\set VERBOSITY default

-- sessions: of each command, also of one that is sent
SELECT autonomous_session_open('s');
SELECT * FROM autonomous_session_query('s', 'SELECT caller, depth, query FROM regress_caller') AS (caller int, depth int, query text);
SELECT autonomous_session_send('s', 'SELECT current_query()');
SELECT * FROM autonomous_session_result('s') AS (of_the_sender text);
SELECT autonomous_session_close('s');

-- tasks: of who submitted it
SELECT async_exec('SELECT caller, depth, query, current_query() = query FROM regress_caller') AS task \gset
SELECT * FROM async_result(:task) AS (caller int, depth int, query text, same bool);
SELECT async_run(:task, 'SELECT query LIKE ''SELECT async_run(%'' FROM aside.caller()') AS again \gset
SELECT * FROM async_result(:again) AS (of_the_second bool);

-- a long statement is cut at a whole character
DO $$ BEGIN EXECUTE format('SELECT autonomous_exec(%L)', 'SELECT 1 /*' || repeat('x', 2000000) || '*/'); END $$;
SELECT 'SELECT l FROM autonomous_query(''SELECT length(current_query())'') AS q(l int) /* ' || repeat('é', 600000) || ' */' AS long \gset
SET client_encoding = utf8;
SELECT l FROM autonomous_query('SELECT 1') AS q(l int);
:long;
SELECT 'SELECT l, q FROM async_result(async_exec(''SELECT octet_length(q), left(q, 14) FROM current_query() q'')) AS r(l int, q text) /* ' || repeat('é', 6000) || ' */' AS long \gset
:long;

-- nothing of it is for who may not call autonomous functions
CREATE ROLE regress_aside_nobody;
SET ROLE regress_aside_nobody;
SELECT * FROM aside.caller();
RESET ROLE;

SET client_min_messages = warning;
DROP TABLE regress_lower, regress_upper, regress_told CASCADE;
DROP VIEW regress_caller;
DROP FUNCTION regress_tells, regress_asks, regress_note, regress_note_alone, regress_insert_lower, regress_guarded, regress_looks;
DROP ROLE regress_aside_teller, regress_aside_nobody;
