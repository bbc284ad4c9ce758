-- Claim: aside_dblink runs a command without a column list too, as dblink does: its
-- tag is a record, rows are refused and leave the connection ready; errors and
-- dblink_error_message are those of dblink; a call with a connection string is one
-- autonomous transaction where a definer makes it.
SET client_min_messages = warning;
CREATE EXTENSION aside_dblink;
CREATE ROLE regress_aside_member IN ROLE aside_user;
CREATE ROLE regress_aside_owner IN ROLE aside_user;
CREATE DATABASE regress_aside_db;
GRANT USAGE, CREATE ON SCHEMA public TO regress_aside_member, regress_aside_owner;
RESET client_min_messages;
CREATE TABLE regress_t (a int, b text);
GRANT ALL ON regress_t TO regress_aside_owner;

SELECT dblink_connect('c', '');
SELECT dblink('c', 'INSERT INTO regress_t VALUES (1, ''one'')');
SELECT r FROM (SELECT dblink('c', 'UPDATE regress_t SET b = b') AS r) s;
SELECT dblink('', 'INSERT INTO regress_t VALUES (2, ''transient'')'), dblink('c', 'SELECT 1/0', false) IS NULL AS none;
DO $$
BEGIN
    PERFORM dblink('c', 'INSERT INTO regress_t VALUES (3, ''performed'')');
    PERFORM dblink_send_query('c', 'INSERT INTO regress_t VALUES (4, ''sent'')');
    PERFORM dblink_get_result('c');
    PERFORM dblink_get_result('c');
END
$$;
SELECT dblink_send_query('c', 'INSERT INTO regress_t VALUES (5, ''sent'')');
SELECT dblink_get_result('c');
SELECT dblink_get_result('c') IS NULL AS read;
-- rows: refused when they come, and the connection is ready
SELECT dblink('c', 'SELECT 1');
SELECT dblink('c', 'INSERT INTO regress_t VALUES (6, ''returning'') RETURNING a');
SELECT dblink_send_query('c', 'SELECT 1; SELECT 2');
SELECT dblink_get_result('c');
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT * FROM dblink_get_result('c') AS t(a int);
SELECT dblink_exec('c', 'INSERT INTO regress_t VALUES (7, ''ready'')');
SELECT a FROM regress_t ORDER BY a;
DO $$
DECLARE
    r record;
BEGIN
    r := dblink('c', 'DELETE FROM regress_t WHERE a = 7');
    RAISE NOTICE '%', r;
END
$$;

-- errors: the remote's context, and one line
SELECT dblink_exec('c', 'SELECT nothing');
SELECT dblink_exec('c', 'DO $d$BEGIN RAISE ''m'' USING detail = ''d'', hint = ''h''; END$d$');
SELECT dblink_error_message('c');
SELECT dblink_exec('c', 'SET regress.x = 1'), dblink_error_message('c');
SELECT dblink_open('c', 'cur', E'SELECT ''ä'',\n    nothing');
SELECT dblink_error_message('c');
SELECT dblink_exec('c', 'ROLLBACK'), dblink_error_message('c');
SELECT * FROM dblink('c', 'SELECT ' || repeat('1, ', 40) || 'nothing ' || repeat(', 2', 40)) AS t(a int);
SELECT dblink_error_message('c');
SELECT dblink_send_query('c', 'SELECT 1/0'), dblink_error_message('c');
SELECT dblink_get_result('c', false) IS NULL AS none;
SELECT dblink_error_message('c');
SELECT dblink_get_result('c');
SELECT dblink_error_message('c');
SELECT dblink_connect('c', '');
SELECT dblink_connect('host=example.com');
SELECT dblink_connect('d', 'no string');
SELECT dblink_fetch('c', 'cur', 1);
SELECT dblink_close('c', 'cur');
SELECT dblink_exec('none', 'SELECT 1');
SELECT dblink_disconnect('none');
SELECT dblink_is_busy('none');
SELECT dblink_disconnect('c');

-- SECURITY DEFINER: one transaction, as the definer, which the caller's end does not touch
CREATE FUNCTION log_it(what text) RETURNS void SECURITY DEFINER LANGUAGE plpgsql AS $$
BEGIN
    PERFORM dblink_exec('dbname=' || current_database(), format('INSERT INTO regress_t SELECT 10, %L || current_user', what));
    PERFORM dblink('user=regress_aside_owner application_name=wrapper', format('INSERT INTO regress_t SELECT 11, current_setting(''application_name'')'));
    PERFORM * FROM dblink('', 'SELECT true') AS p(ret boolean);
END
$$;
ALTER FUNCTION log_it(text) OWNER TO regress_aside_owner;
CREATE FUNCTION try_it(conninfo text, command text) RETURNS text SECURITY DEFINER LANGUAGE plpgsql AS $$
DECLARE
    detail text; hint text;
BEGIN
    RETURN (SELECT r FROM dblink(conninfo, command) AS t(r text));
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(detail, ''), nullif(hint, ''));
END
$$;
ALTER FUNCTION try_it(text, text) OWNER TO regress_aside_owner;
GRANT EXECUTE ON FUNCTION log_it(text), try_it(text, text) TO PUBLIC;
SET ROLE regress_aside_member;
BEGIN;
SELECT log_it('logged by ');
ROLLBACK;
SELECT try_it('', 'SELECT current_user; SELECT current_user'), try_it('dbname=regress_aside_db', 'SELECT current_database() || '' '' || current_user'),
    try_it('options=''-c regress.x=set''', 'SHOW regress.x');
SELECT try_it('', 'INSERT INTO regress_t VALUES (12); SELECT 1/0');
SELECT try_it('', 'BEGIN; SELECT 1');
SELECT try_it('user=' || quote_literal(session_user), 'SELECT current_user');
SELECT try_it('options=''-c role=regress_aside_member''', 'SELECT current_user');
SELECT split_part(try_it('user=regress_aside_member', 'SELECT current_user'), ' | ', 1);
RESET ROLE;
SELECT a, b FROM regress_t WHERE a >= 10 ORDER BY a;
SELECT count(*) AS sessions FROM autonomous_sessions();
-- a connection that lasts is not for a definer
CREATE FUNCTION connect_it() RETURNS text SECURITY DEFINER LANGUAGE sql AS $$ SELECT dblink_connect('definer', '') $$;
ALTER FUNCTION connect_it() OWNER TO regress_aside_owner;
SELECT connect_it();

DROP FUNCTION log_it(text), try_it(text, text), connect_it();
DROP TABLE regress_t;
DROP EXTENSION aside_dblink;
DROP DATABASE regress_aside_db;
REVOKE ALL ON SCHEMA public FROM regress_aside_member, regress_aside_owner;
DROP ROLE regress_aside_member, regress_aside_owner;
