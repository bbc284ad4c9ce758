-- Claim: aside_dblink has dblink's functions with dblink's arguments, results and
-- errors: named, unnamed and passing connections, remote errors that are notices
-- where they may be; whatever schema it is in and whatever the search_path.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA "regress odd";
CREATE EXTENSION aside_dblink SCHEMA "regress odd";
CREATE ROLE regress_aside_stranger;
CREATE ROLE regress_aside_member IN ROLE aside_user;
CREATE FUNCTION here() RETURNS text STABLE LANGUAGE sql AS
    $$ SELECT format('port=%s dbname=%s user=%s', current_setting('port'), current_database(), session_user) $$;
RESET client_min_messages;

-- as in contrib/dblink 1.2, all of them for members of aside_user only
SELECT p.oid::regprocedure AS function, p.prorettype::regtype AS result, proretset AS set, proisstrict AS strict,
    proargnames AS out_names
FROM pg_proc p WHERE pronamespace = '"regress odd"'::regnamespace ORDER BY proname COLLATE "C", oidvectortypes(proargtypes) COLLATE "C";
SELECT count(*) AS for_everyone
FROM pg_proc p, pg_depend d, pg_extension e
WHERE d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.refobjid = e.oid AND e.extname = 'aside_dblink' AND d.deptype = 'e'
    AND (has_function_privilege('regress_aside_stranger', p.oid, 'EXECUTE') OR NOT has_function_privilege('regress_aside_member', p.oid, 'EXECUTE'));
SELECT p.oid::regprocedure AS definers
FROM pg_proc p, pg_depend d, pg_extension e
WHERE d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.refobjid = e.oid AND e.extname = 'aside_dblink' AND d.deptype = 'e' AND prosecdef;
SET search_path = "regress odd", public;
CREATE TABLE regress_t (a int, b text, c text[]);

-- a connection string: a connection for one command
SELECT * FROM dblink(here(), 'SELECT g, ''x'' || g, ARRAY[g] FROM generate_series(1, 3) g') AS t(a int, b text, c text[]);
SELECT dblink_exec(here(), 'INSERT INTO regress_t SELECT 1, ''one''');
SELECT dblink_exec(here(), 'BEGIN; INSERT INTO regress_t SELECT 2, ''not committed''');
SELECT dblink_exec(here(), 'INSERT INTO regress_t SELECT 3, ''three''; SELECT 1/0');
SELECT dblink_exec(here(), 'INSERT INTO regress_t SELECT 4, ''four''; SELECT 1/0', false);
SELECT * FROM dblink(here(), 'SELECT 1/0') AS t(a int);
SELECT * FROM dblink(here(), 'SELECT 1/0', false) AS t(a int);
SELECT * FROM regress_t ORDER BY a;
SELECT dblink_get_connections() IS NULL AS none, count(*) AS sessions FROM autonomous_sessions();

-- the unnamed connection
SELECT dblink_exec('SELECT 1');
SELECT * FROM dblink('SELECT 1') AS t(a int);
SELECT dblink_disconnect();
SELECT dblink_connect(here());
SELECT dblink_exec('CREATE TEMP TABLE mine AS SELECT g FROM generate_series(1, 5) g');
SELECT * FROM dblink('SELECT count(*) FROM mine') AS t(n bigint);
SELECT dblink_exec('INSERT INTO elsewhere VALUES (1)');
SELECT dblink_exec('INSERT INTO elsewhere VALUES (1)', false);
SELECT * FROM dblink('SELECT * FROM elsewhere', false) AS t(a int);
SELECT dblink_get_connections() IS NULL AS none_is_named;
-- connecting again replaces it, if that can be done
SELECT dblink_connect('port=1 host=nowhere.example');
SELECT * FROM dblink('SELECT count(*) FROM mine') AS t(n bigint);
SELECT dblink_connect(here());
SELECT * FROM dblink('SELECT count(*) FROM mine', false) AS t(n bigint);
SELECT dblink_disconnect();
SELECT dblink_disconnect();

-- named ones
SELECT dblink_connect('one', here()), dblink_connect('two', here()), dblink_connect_u('Three ''"', here());
SELECT dblink_connect('one', here());
SELECT dblink_get_connections();
SELECT dblink_exec('one', 'SET regress.mine = ''one'''), dblink_exec('two', 'SET regress.mine = ''two''');
SELECT a.x, b.x FROM dblink('one', 'SHOW regress.mine') AS a(x text), dblink('two', 'SHOW regress.mine') AS b(x text);
SELECT * FROM dblink('Three ''"', 'SELECT 3') AS t(a int);
SELECT * FROM dblink('one', 'SELECT * FROM elsewhere') AS t(a int);
SELECT * FROM dblink('one', 'SELECT * FROM elsewhere', false) AS t(a int);
SELECT dblink_disconnect('two');
SELECT dblink_disconnect('two');
-- a name that is no connection's is a connection string
SELECT * FROM dblink('two', 'SELECT 1') AS t(a int);
SELECT dblink_exec('two', 'SELECT 1');
-- names are cut as identifiers are
SELECT dblink_connect(repeat('ä', 60), here());
SELECT dblink_get_connections() @> ARRAY[repeat('ä', 31)] AS cut;
SELECT * FROM dblink(repeat('ä', 60), 'SELECT 1') AS t(a int);
SELECT dblink_disconnect(repeat('ä', 60)), dblink_disconnect('Three ''"');

-- a transaction across calls, which the caller's end does not touch
BEGIN;
SELECT dblink_exec('one', 'BEGIN');
SELECT dblink_exec('one', 'INSERT INTO regress_t VALUES (10)');
SELECT dblink_connect('two', here());
ROLLBACK;
SELECT dblink_exec('one', 'COMMIT'), dblink_disconnect('two');
SELECT a FROM regress_t ORDER BY a;

-- columns by way of their text, whatever the types; the command's tag where there are none
SELECT * FROM dblink('one', 'SELECT 1.55, ''7''::text, ''{1,2}''::int[], NULL::int, current_date = current_date, ''abcdef''::varchar')
    AS t(a numeric(3,1), b bigint, c text, d text, e text, f varchar(3));
SELECT * FROM dblink('one', 'SELECT 1.55, ''7''::text, ''{1,2}''::int[], NULL::int, current_date = current_date, ''abc''::varchar')
    AS t(a numeric(3,1), b bigint, c text, d text, e text, f varchar(3));
SELECT * FROM dblink('one', 'SELECT ''x''') AS t(a int);
SELECT * FROM dblink('one', 'SELECT ''x''', false) AS t(a int);
SELECT * FROM dblink('one', 'SELECT 1, 2') AS t(a int);
SELECT * FROM dblink('one', 'SELECT 1, 2 WHERE false') AS t(a int);
SELECT * FROM dblink('one', 'SELECT 1; SELECT 2; SELECT 3') AS t(a int);
SELECT * FROM dblink('one', 'SELECT 1; CREATE TEMP TABLE regress_u (a int)') AS t(a text);
SELECT * FROM dblink('one', 'INSERT INTO regress_u SELECT generate_series(1, 3)') AS t(status text);
SELECT * FROM dblink('one', 'INSERT INTO regress_u SELECT 1') AS t(status int);
SELECT * FROM dblink('one', 'INSERT INTO regress_u SELECT 1') AS t(a text, b text);
SELECT * FROM dblink('one', 'DELETE FROM regress_u WHERE a = 3 RETURNING a') AS t(a int);
SELECT dblink('one', 'SELECT 1');
SELECT count(*), sum(a), max(length(b)) FROM dblink('one', 'SELECT g, repeat(''x'', g % 1000) FROM generate_series(1, 20000) g') AS t(a bigint, b text);
-- a composite type's row, and no column at all
CREATE TYPE regress_pair AS (x int, y text);
SELECT (p).x, (p).y FROM dblink('one', 'SELECT ROW(1, ''a b'')::regress_pair') AS t(p regress_pair);
-- dblink_exec: no rows
SELECT dblink_exec('one', 'SELECT 1');
SELECT dblink_exec('one', 'SELECT 1', false);
SELECT dblink_exec('one', 'CREATE TEMP TABLE regress_v (a int)'), dblink_exec('one', 'TRUNCATE regress_v'), dblink_exec('one', 'VACUUM');

-- every field of a remote error
CREATE FUNCTION regress_fields(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    s text; m text; d text; h text; c text;
BEGIN
    EXECUTE call;
    RETURN 'none';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS s = RETURNED_SQLSTATE, m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT, c = PG_EXCEPTION_CONTEXT;
    RETURN concat_ws(' | ', s, m, d, h, substring(c FROM 'while[^\n]*'));
END
$$;
SELECT regress_fields($$SELECT dblink_exec('one', 'DO ''BEGIN RAISE ''''m'''' USING detail = ''''d'''', hint = ''''h'''', errcode = ''''UE001''''; END''')$$);
SELECT regress_fields($$SELECT * FROM dblink(here(), 'SELECT 1/0') AS t(a int)$$);
SELECT regress_fields($$SELECT dblink_connect('one', here())$$);
SELECT regress_fields($$SELECT dblink_disconnect('zero')$$);
SELECT regress_fields($$SELECT dblink_disconnect()$$);
SELECT regress_fields($$SELECT dblink_exec('zero', 'SELECT 1')$$);
SELECT regress_fields($$SELECT dblink_exec('one', 'SELECT 1')$$);
SELECT regress_fields($$SELECT * FROM dblink('one', 'SELECT 1, 2') AS t(a int)$$);
-- a notice of the remote side arrives; an error that may be one has its fields too
SELECT dblink_exec('one', 'DO ''BEGIN RAISE NOTICE ''''from over there''''; END''');
SELECT dblink_exec('one', 'DO ''BEGIN RAISE ''''m'''' USING detail = ''''d'''', hint = ''''h''''; END''', false);
-- what this side raises is an error all the same: its own timeout, for one
SET statement_timeout = '300ms';
SELECT dblink_exec('one', 'SELECT pg_sleep(60)', false);
SELECT * FROM dblink(here(), 'SELECT pg_sleep(60)', false) AS t(a text);
RESET statement_timeout;
SELECT * FROM dblink('one', 'SELECT ''goes on''') AS t(a text);
SELECT session, state FROM autonomous_sessions();

-- NULL is NULL, as with any strict function
SELECT dblink_connect(NULL), dblink_exec(NULL), dblink_exec('one', NULL), dblink_exec('one', 'SELECT 1', NULL), dblink_disconnect(NULL);
SELECT * FROM dblink(NULL, 'SELECT 1') AS t(a int);
SELECT * FROM dblink(NULL) AS t(a int);

-- the search_path is nothing to the functions, and everything to the commands
CREATE SCHEMA regress_trap;
CREATE FUNCTION regress_trap.eq(text, text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE ''trapped''; END';
CREATE OPERATOR regress_trap.= (FUNCTION = regress_trap.eq, LEFTARG = text, RIGHTARG = text);
CREATE OPERATOR regress_trap.<> (FUNCTION = regress_trap.eq, LEFTARG = text, RIGHTARG = text);
CREATE OPERATOR regress_trap.|| (FUNCTION = regress_trap.eq, LEFTARG = text, RIGHTARG = text);
CREATE FUNCTION regress_trap.format(text, VARIADIC "any") RETURNS text LANGUAGE internal AS 'now';
CREATE DOMAIN regress_trap.text AS pg_catalog.text CHECK (VALUE IS NULL);
SELECT here() AS here \gset
SET search_path = regress_trap, pg_catalog;
SELECT "regress odd".dblink_connect('trap', :'here');
SELECT * FROM "regress odd".dblink('trap', 'SHOW search_path') AS t(a pg_catalog.text);
SELECT "regress odd".dblink_open('trap', 'c', 'SELECT 1'), "regress odd".dblink_close('trap', 'c');
SELECT * FROM "regress odd".dblink(:'here', 'SELECT 1') AS t(a int);
SELECT "regress odd".dblink_disconnect('trap');
SET search_path = "regress odd", public;

-- who acts: the caller; a role in between, and no definer
SELECT dblink_disconnect('one');
GRANT USAGE ON SCHEMA "regress odd" TO regress_aside_member, regress_aside_stranger;
SET ROLE regress_aside_stranger;
SELECT dblink_connect(here());
SET ROLE regress_aside_member;
SELECT dblink_connect('role', '');
SELECT * FROM dblink('role', 'SELECT current_user') AS t(a text);
SELECT t.a = session_user AS who_logged_in FROM dblink(here(), 'SELECT current_user') AS t(a text);
RESET ROLE;
SELECT * FROM dblink('role', 'SELECT current_user') AS t(a text);
SELECT dblink_disconnect('role');
CREATE FUNCTION regress_definer() RETURNS text SECURITY DEFINER LANGUAGE sql AS $$ SELECT dblink_connect('definer', '') $$;
SELECT regress_definer();
SELECT count(*) AS sessions FROM autonomous_sessions();

DROP FUNCTION regress_definer(), regress_fields(text), here();
SET client_min_messages = warning;
DROP SCHEMA regress_trap CASCADE;
RESET client_min_messages;
DROP TYPE regress_pair;
DROP TABLE regress_t;
DROP EXTENSION aside_dblink;
DROP SCHEMA "regress odd";
DROP ROLE regress_aside_stranger, regress_aside_member;
