-- Claim: a connection string is read as libpq reads it; one that names this
-- server, any of its databases and the session's user is served, anything else
-- is refused with the reason: 0A000 for what dblink could do, 08001 for what it
-- could not do either.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION aside_dblink;
CREATE ROLE regress_aside_member IN ROLE aside_user;
CREATE ROLE regress_aside_other IN ROLE aside_user;
CREATE DATABASE regress_aside_db;
CREATE DATABASE "Regress aside ' \ ä";
RESET client_min_messages;
SELECT current_setting('port') AS port, current_setting('unix_socket_directories') AS sockets, session_user AS login \gset

-- as libpq reads it
CREATE FUNCTION read(conninfo text) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(wrong, (SELECT string_agg(format('%s=<%s>', key, value), ' ' ORDER BY key COLLATE "C") FROM jsonb_each_text(options)))
    FROM aside.dblink_conninfo(conninfo)
$$;
SELECT read(c) FROM unnest(ARRAY[
    'host=a port=1', E'\n host \t=  a\n  port = 1 \n', 'host=''a''port=''1''', 'host=', 'host= ', 'host='''' user=', 'host=a host=b',
    $$host='it\'s \\ a'$$, $$host=it\'s\ a$$, $$host=a'b'c$$, $$host='a b' user=c\\$$, $$host=a\$$, 'host=a=b', '', '   ',
    'host', 'host a', ' = ', '=a', 'host=''a', $$host='a\'$$, 'host=a port', 'options=''-c a=1 -c b=2'' host=x', 'Host=a']) WITH ORDINALITY x(c, n) ORDER BY n;
SELECT read(c) FROM unnest(ARRAY[
    'postgres://', 'postgresql://h', 'postgresql://u@h:1/d', 'postgresql://u:p%40@[::1]:1/d%20b?sslmode=require&application_name=a%26b', 'postgresql:///d?host=/tmp&port=1',
    'postgresql://h/d?user=u', 'postgresql://u:p@/d', 'postgresql://%C3%A4@h', 'postgres://h1,h2/d', 'postgres://h:1:2', 'postgresql://h?a']) WITH ORDINALITY x(c, n) ORDER BY n;

-- who answers: the outcome of a connection string
CREATE FUNCTION try(conninfo text, command text DEFAULT 'SELECT current_database()') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text; detail text; hint text;
BEGIN
    RETURN replace((SELECT r FROM dblink(conninfo, command) AS t(r text)), current_database(), 'this database');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE, regexp_replace(message, '^(user mapping not found).*', '\1'), regexp_replace(replace(detail, current_setting('port'), 'PORT'), 'who is ".*"', 'who is another'), hint);
END
$$;
-- this server
SELECT c, try(replace(replace(replace(replace(c, 'PORT', :'port'), 'SOCKET', :'sockets'), 'LOGIN', quote_literal(:'login')), 'WHO', :'login')) FROM unnest(ARRAY[
    '', 'host=', 'host=localhost', 'host=LocalHost', 'host=127.0.0.1', 'host=::1', 'hostaddr=127.0.0.1', 'host=anything hostaddr=::1',
    'host=SOCKET', 'host=''SOCKET/''', 'port=PORT', 'port=', 'host=localhost,127.0.0.1 port=PORT,PORT', 'user=LOGIN password=wrong', 'user=',
    'postgresql://localhost:PORT/?connect_timeout=3', 'postgresql:///?user=WHO', 'connect_timeout=1 sslmode=require keepalives=0 target_session_attrs=any gssencmode=disable client_encoding=LATIN1',
    'dbname=regress_aside_db', 'dbname=''Regress aside \'' \\ ä''', 'postgresql:///Regress%20aside%20%27%20%5C%20%C3%A4', 'replication=false service=']) WITH ORDINALITY x(c, n) ORDER BY n;
-- another one, or another way
SELECT c, try(c) FROM unnest(ARRAY[
    'host=example.com', 'hostaddr=192.0.2.1', 'host=/nowhere', 'host=@abstract', 'host=localhost,example.com', 'port=1', 'port=x', 'user=nobody',
    'postgresql://nobody@localhost', 'service=s', 'servicefile=f', 'replication=database', 'target_session_attrs=standby',
    'options=''-d 3''', 'options=-c', 'password=secret host=example.com']) WITH ORDINALITY x(c, n) ORDER BY n;
-- dblink would not serve these either
SELECT c, try(c) FROM unnest(ARRAY[
    'dbname=regress_aside_none', 'colour=red', 'Host=localhost', 'no string at all', 'host=localhost dbname', 'postgresql://h:1:2']) WITH ORDINALITY x(c, n) ORDER BY n;
-- a foreign server that means this one: options of its wrapper, itself and the user's mapping, for who may use it
CREATE FOREIGN DATA WRAPPER regress_wrapper OPTIONS (application_name 'by the wrapper');
CREATE SERVER regress_server FOREIGN DATA WRAPPER regress_wrapper OPTIONS (host 'localhost', dbname 'regress_aside_db', fetch_size '7');
CREATE SERVER "Regress far" FOREIGN DATA WRAPPER regress_wrapper OPTIONS (host 'example.com');
CREATE SERVER regress_another FOREIGN DATA WRAPPER regress_wrapper;
SELECT try('regress_server');
CREATE USER MAPPING FOR CURRENT_USER SERVER regress_server OPTIONS (password 'it''s \ secret');
CREATE USER MAPPING FOR PUBLIC SERVER "Regress far";
CREATE USER MAPPING FOR PUBLIC SERVER regress_another OPTIONS (user 'nobody');
SELECT try('regress_server'), try('regress_server', 'SHOW application_name'), try('Regress far'), try('regress_another') LIKE '0A000%nobody%' AS as_another;
SELECT dblink_connect('server', 'regress_server');
SELECT * FROM dblink('server', 'SELECT current_database()') AS t(d text);
SELECT dblink_disconnect('server');
SET ROLE regress_aside_member;
SELECT try('Regress far');
RESET ROLE;
DROP SERVER regress_server CASCADE;
DROP SERVER "Regress far" CASCADE;
DROP SERVER regress_another CASCADE;
DROP FOREIGN DATA WRAPPER regress_wrapper;

-- settings: the session's, unless the string says otherwise
SET application_name = 'regress caller';
SET regress.x = 'caller';
SELECT c, try(c, 'SELECT concat_ws('','', current_setting(''application_name''), current_setting(''regress.x''), current_setting(''work_mem''))')
FROM unnest(ARRAY[
    '', 'application_name=''a b''', 'fallback_application_name=f', 'options=''-c regress.x=1 --work-mem=3MB -cregress.y=2''', 'options=''-c regress.x=a\\ b''',
    'options=''-c application_name=o'' application_name=a', 'options=''-c work_mem=none''', 'options=''-c nothing=1''',
    'postgresql:///?options=-c%20regress.x%3D5&application_name=u']) WITH ORDINALITY x(c, n) ORDER BY n;
SELECT count(*) AS left_open FROM autonomous_sessions();
SELECT dblink_connect('one', 'options=''-c regress.x=1 -c work_mem=none''');
SELECT dblink_connect('one', 'options=''-c regress.x=1''');
SELECT * FROM dblink('one', 'SHOW regress.x') AS t(x text);
SELECT dblink_disconnect('one');
SHOW regress.x;

-- the user: who logged in, by whatever role is set now; a member of nothing more than aside_user can do all this
GRANT regress_aside_member TO regress_aside_other;
SET SESSION AUTHORIZATION regress_aside_other;
SELECT try('user=regress_aside_other', 'SELECT current_user'), try('user=' || :'login', 'SELECT current_user') = '' AS another;
SELECT try(format('host=%L', :'sockets'), 'SELECT current_user'), try('host=/nowhere');
SET ROLE regress_aside_member;
SELECT try('', 'SELECT current_user'), try('user=regress_aside_other', 'SELECT current_user'), try('user=regress_aside_member', 'SELECT current_user');
RESET ROLE;
RESET SESSION AUTHORIZATION;
-- a database that may not be connected to
REVOKE CONNECT ON DATABASE regress_aside_db FROM PUBLIC;
SET ROLE regress_aside_other;
SELECT try('dbname=regress_aside_db');
RESET ROLE;
SELECT try('dbname=regress_aside_db');
ALTER DATABASE regress_aside_db ALLOW_CONNECTIONS false;
SELECT try('dbname=regress_aside_db');
-- in another database: its own objects, types by their text
SELECT dblink_connect('other', 'dbname=''Regress aside \'' \\ ä''');
SELECT dblink_exec('other', 'CREATE TYPE mood AS ENUM (''sad'', ''ok''); CREATE TABLE m AS SELECT ''ok''::mood AS m, ROW(1, ''x'')::text AS r');
CREATE TYPE mood AS ENUM ('ok', 'fine');
SELECT * FROM dblink('other', 'SELECT m, m, r, NULL::mood FROM m') AS t(a mood, b text, c text, d mood);
SELECT * FROM dblink('other', 'SELECT ''sad''::mood') AS t(a mood);
SELECT dblink_disconnect('other');
SELECT count(*) AS left_open FROM autonomous_sessions();

DROP TYPE mood;
DROP FUNCTION try(text, text), read(text);
DROP EXTENSION aside_dblink;
DROP DATABASE regress_aside_db;
DROP DATABASE "Regress aside ' \ ä";
DROP ROLE regress_aside_member, regress_aside_other;
