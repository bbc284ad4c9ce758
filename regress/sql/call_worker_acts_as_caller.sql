-- Claim: the worker has the caller's database, session user, current user and
-- role; SET ROLE and RESET ROLE behave there as they would in the caller, and
-- never reach anyone the caller could not; no trace stays for the next call.
\set VERBOSITY sqlstate
SET client_min_messages = warning;
CREATE ROLE regress_aside_super SUPERUSER;
CREATE ROLE regress_aside_low NOLOGIN;
CREATE ROLE regress_aside_other NOLOGIN;
CREATE ROLE regress_aside_login LOGIN;
CREATE ROLE regress_aside_group NOLOGIN;
GRANT aside_user TO regress_aside_low, regress_aside_other, regress_aside_login;
GRANT regress_aside_group TO regress_aside_login, regress_aside_low;
CREATE TABLE regress_secret (x int);
CREATE TABLE regress_open (who text, said text);
GRANT ALL ON regress_open TO PUBLIC;
RESET client_min_messages;
CREATE VIEW regress_who AS
    SELECT current_database()::text AS d, session_user::text AS s, current_user::text AS c, current_setting('role') AS r,
           current_setting('is_superuser') AS su;
GRANT SELECT ON regress_who TO PUBLIC;
-- 1 when the worker is to itself what the caller is to itself
CREATE FUNCTION regress_same() RETURNS TABLE (same boolean, c text, r text, su text) LANGUAGE sql AS $$
    SELECT w = h, CASE WHEN w.c LIKE 'regress%' THEN w.c ELSE '-' END, w.r, w.su
    FROM regress_who h, autonomous_query_as(NULL::regress_who, 'TABLE regress_who') w
$$;

SELECT * FROM regress_same();
-- a role without LOGIN by SET ROLE
SET ROLE regress_aside_low;
SELECT * FROM regress_same();
SELECT autonomous_exec('INSERT INTO regress_secret VALUES (1)');
SELECT autonomous_exec('INSERT INTO regress_open VALUES (current_user, ''as low'')');
-- this session may return to what it was, in the worker too
SELECT * FROM autonomous_query('RESET ROLE; SELECT session_user = current_user, current_setting(''is_superuser'')') AS (a bool, b text);
SELECT * FROM autonomous_query('SET ROLE regress_aside_other; SELECT current_user') AS (a text);
SELECT * FROM autonomous_query('SET LOCAL ROLE NONE; SELECT current_setting(''role'')') AS (a text);
-- and it leaves no trace, neither there nor here
SELECT * FROM regress_same();
RESET ROLE;
BEGIN;
SET LOCAL ROLE regress_aside_other;
SELECT * FROM regress_same();
ROLLBACK;
SELECT * FROM regress_same();
-- another role for each call, the same command
SELECT r.role, q.c FROM (VALUES ('regress_aside_low'), ('none'), ('regress_aside_other'), ('regress_aside_low')) r(role),
    LATERAL (SELECT set_config('role', r.role, true) AS is) s,
    LATERAL (SELECT CASE WHEN c LIKE 'regress%' THEN c ELSE '-' END AS c FROM autonomous_query('SELECT current_user, $1', s.is) AS (c text, x text)) q;

-- SET SESSION AUTHORIZATION, also to a role that cannot log in
SET SESSION AUTHORIZATION regress_aside_low;
SELECT * FROM regress_same();
SELECT autonomous_exec('SET ROLE regress_aside_other');
SELECT * FROM autonomous_query('SET ROLE regress_aside_group; SELECT current_user') AS (a text);
SELECT autonomous_exec('INSERT INTO regress_secret VALUES (2)');
SET ROLE regress_aside_group;
SELECT * FROM autonomous_query('SELECT 1') AS (a int);
RESET ROLE;
-- the authenticated user is still a superuser, who may go back
SELECT * FROM autonomous_query('RESET SESSION AUTHORIZATION; SELECT current_setting(''is_superuser'')') AS (a text);
SELECT * FROM regress_same();
RESET SESSION AUTHORIZATION;
SELECT * FROM regress_same();

-- an error, an exception block and many commits in the worker keep the user
SET ROLE regress_aside_low;
SELECT * FROM autonomous_query('DO ''BEGIN BEGIN PERFORM 1/0; EXCEPTION WHEN OTHERS THEN NULL; END; END''; SELECT current_user') AS (a text);
SELECT autonomous_exec('SELECT 1/0');
SELECT * FROM regress_same();
SELECT autonomous_exec('DO ''BEGIN INSERT INTO regress_open VALUES (current_user, $m$before$m$); COMMIT;
    INSERT INTO regress_open VALUES (current_user, $m$between$m$); ROLLBACK;
    INSERT INTO regress_open VALUES (current_user, $m$after$m$); END''');
SELECT * FROM regress_open;
RESET ROLE;

-- one who logged in without rights cannot talk himself up
SELECT current_user AS me \gset
\c - regress_aside_login
SELECT * FROM regress_same();
SELECT autonomous_exec('SET SESSION AUTHORIZATION regress_aside_super');
SELECT autonomous_exec('SET SESSION AUTHORIZATION regress_aside_other');
SELECT autonomous_exec('SET ROLE regress_aside_super');
SELECT autonomous_exec('SET ROLE regress_aside_other');
SELECT autonomous_exec('INSERT INTO regress_secret VALUES (3)');
SELECT autonomous_exec('RESET SESSION AUTHORIZATION; INSERT INTO regress_secret VALUES (4)');
SELECT autonomous_exec('RESET ROLE; INSERT INTO regress_secret VALUES (5)');
SELECT autonomous_exec('SELECT set_config(''session_authorization'', ''regress_aside_super'', false)');
SELECT autonomous_exec('ALTER ROLE regress_aside_login SUPERUSER');
SELECT autonomous_exec('SET session_replication_role = replica');
SELECT autonomous_exec('COPY regress_open TO PROGRAM ''cat >/dev/null''');
SELECT autonomous_exec('DISCARD ALL');
SELECT * FROM regress_same();
SET ROLE regress_aside_group;
SELECT autonomous_exec('SELECT 1');
RESET ROLE;
SELECT * FROM autonomous_query('SET ROLE regress_aside_group; SELECT current_user, session_user') AS (c text, s text);
\c - :me
SELECT count(*) AS secrets_written FROM regress_secret;

-- row security, by user and by a setting of the application
CREATE TABLE regress_rows (id int, owner text, tenant int);
INSERT INTO regress_rows VALUES (1, 'regress_aside_low', 1), (2, 'regress_aside_low', 2), (3, 'regress_aside_other', 1);
ALTER TABLE regress_rows ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON regress_rows USING (owner = current_user AND tenant = current_setting('app.tenant')::int);
GRANT ALL ON regress_rows TO PUBLIC;
CREATE FUNCTION regress_rows() RETURNS text LANGUAGE sql AS
    $$SELECT coalesce(string_agg(i::text, ','), '-') FROM autonomous_query('SELECT id FROM regress_rows ORDER BY id') AS (i int)$$;
SET app.tenant = 1;
SELECT regress_rows() AS superuser;
SET ROLE regress_aside_low;
SELECT regress_rows() AS low_1;
SET app.tenant = 2;
SELECT regress_rows() AS low_2;
SET ROLE regress_aside_other;
SELECT regress_rows() AS other_2;
SET app.tenant = 1;
SELECT regress_rows() AS other_1;
SELECT autonomous_exec('INSERT INTO regress_rows VALUES (4, ''regress_aside_low'', 1)');
SET row_security = off;
SELECT regress_rows();
RESET row_security;
RESET ROLE;
SELECT regress_rows() AS superuser_again;

DROP TABLE regress_rows, regress_secret, regress_open;
DROP FUNCTION regress_rows(), regress_same();
DROP VIEW regress_who;
DROP ROLE regress_aside_super, regress_aside_low, regress_aside_other, regress_aside_login, regress_aside_group;
