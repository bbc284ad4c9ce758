-- the command of a schedule runs as a client of its owner would run it: at top level, with the settings of a login
CREATE ROLE sched_login SUPERUSER LOGIN;
CREATE TABLE sched_ran(id int);
CREATE INDEX sched_ran_index ON sched_ran(id);
CREATE PROCEDURE runs(what text) LANGUAGE plpgsql AS $$
DECLARE
    this bigint;
BEGIN
    PERFORM schedule_set('once', '@yearly', what);
    this := schedule_run_now('once');
    COMMIT;
    WHILE NOT schedule_wait(this, '50 ms') LOOP
        COMMIT;
    END LOOP;
    COMMIT;
    RAISE NOTICE '%', (SELECT concat_ws(' | ', r.state, r.command_tag, r.sqlstate, r.message, r.detail, r.hint) FROM aside.schedule_runs r WHERE r.run = this);
END $$;
-- what needs a top level, and what waits for every older snapshot
CALL runs('VACUUM (ANALYZE) sched_ran');
CALL runs('REINDEX INDEX CONCURRENTLY sched_ran_index');
CALL runs('CREATE DATABASE sched_made TEMPLATE template0');
CALL runs('DROP DATABASE sched_made');
-- several statements are one transaction, unless they control it themselves; what nobody could end is not left open
CALL runs('INSERT INTO sched_ran VALUES (1); INSERT INTO sched_ran VALUES (1 / 0)');
CALL runs('INSERT INTO sched_ran VALUES (2); INSERT INTO sched_ran VALUES (3)');
CALL runs('BEGIN; INSERT INTO sched_ran VALUES (4); COMMIT; BEGIN; INSERT INTO sched_ran VALUES (5); ROLLBACK');
CALL runs('BEGIN; INSERT INTO sched_ran VALUES (6)');
CALL runs('BEGIN; INSERT INTO sched_ran VALUES (7); COMMIT AND CHAIN');
CALL runs('VACUUM (ANALYZE) sched_ran');
SELECT * FROM sched_ran ORDER BY id;
-- the settings of a login of its owner, and its timer
ALTER ROLE sched_login SET work_mem = '5MB';
ALTER ROLE sched_login SET statement_timeout = '200 ms';
SET work_mem = '7MB';
SET SESSION AUTHORIZATION sched_login;
CALL runs($$INSERT INTO sched_ran SELECT 8 WHERE current_user = 'sched_login' AND session_user = 'sched_login' AND current_setting('work_mem') = '5MB'$$);
CALL runs('SELECT pg_sleep(60)');
SELECT schedule_drop('once');
RESET SESSION AUTHORIZATION;
SELECT schedule_drop('once');
DROP TABLE sched_ran;
DROP PROCEDURE runs;
DROP ROLE sched_login;
