-- Claim: a role has one schedule of a name, however many it has made; to set one takes no lock that a user could hold.
\set SHOW_CONTEXT never
CREATE ROLE regress_maker LOGIN;
CREATE ROLE regress_heir LOGIN;
GRANT aside_user TO regress_maker, regress_heir;
CREATE VIEW made AS SELECT name, owner, command FROM aside.schedules ORDER BY command;
GRANT SELECT ON made TO PUBLIC;
SET ROLE regress_maker;
SELECT schedule_set('x', '@yearly', 'SELECT 1') = schedule_set('x', '@yearly', 'SELECT 2') AS the_same;
-- handed on, it is in nobody's way
RESET ROLE;
REASSIGN OWNED BY regress_maker TO regress_heir;
SET ROLE regress_maker;
SELECT schedule_set('x', '@yearly', 'SELECT 3') = schedule_set('x', '@yearly', 'SELECT 4') AS the_same;
SET ROLE regress_heir;
SELECT schedule_set('x', '@yearly', 'SELECT 5') > 0;
RESET ROLE;
SELECT * FROM made;
-- nor is one that the role has given up, whether that has been noticed or not
DROP OWNED BY regress_maker;
SET ROLE regress_maker;
SELECT schedule_set('x', '@yearly', 'SELECT 6') > 0;
RESET ROLE;
SELECT * FROM made;
-- nor one of a role that has another name by now
ALTER ROLE regress_maker RENAME TO regress_made;
SET ROLE regress_made;
SELECT schedule_set('x', '@yearly', 'SELECT 7') > 0;
RESET ROLE;
CALL until('EXISTS (SELECT FROM made WHERE owner = ''regress_made'')');
SELECT * FROM made;
BEGIN;
SELECT schedule_set('y', '@yearly', 'SELECT 8') > 0;
SELECT count(*) AS advisory FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
ROLLBACK;
DROP OWNED BY regress_made, regress_heir;
DROP ROLE regress_made, regress_heir;
DROP VIEW made;
