-- Claim: a cancel that meets one of several commits is not lost: it is answered
-- with true, that commit is the last, and what was cancelled ends as cancelled.
\set SHOW_CONTEXT never
CREATE TABLE regress_commits (round int, n int);
-- commits as fast as it can; nobody waits for its end
CREATE PROCEDURE regress_commits(round int) LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN 1..10000000 LOOP
        INSERT INTO regress_commits VALUES (round, n);
        COMMIT;
    END LOOP;
END $$;
CREATE FUNCTION regress_runs(of int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    LOOP
        EXIT WHEN (SELECT count(*) > 20 FROM regress_commits c WHERE c.round = of);
        PERFORM pg_sleep(0.001);
    END LOOP;
END $$;
-- tasks
CREATE FUNCTION regress_task(round int, OUT cancelled boolean, OUT ended text) LANGUAGE plpgsql AS $$
DECLARE
    task bigint := async_exec('CALL regress_commits($1)', round);
BEGIN
    PERFORM regress_runs(round);
    cancelled := async_cancel(task);
    PERFORM async_wait(task, '30 s');
    SELECT state || ' ' || sqlstate INTO ended FROM aside.tasks WHERE id = task;
END $$;
SELECT cancelled, ended, count(*) FROM generate_series(1, 20) g, regress_task(g) GROUP BY 1, 2;
-- sessions
SELECT autonomous_session_open('s');
CREATE FUNCTION regress_session(round int, OUT cancelled boolean, OUT ended text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM autonomous_session_send('s', 'CALL regress_commits($1)', round);
    PERFORM regress_runs(round);
    cancelled := autonomous_session_cancel('s');
    PERFORM FROM autonomous_session_result('s') AS r(t text);
    ended := 'done';
EXCEPTION WHEN query_canceled THEN
    ended := SQLSTATE;
END $$;
SELECT cancelled, ended, count(*) FROM generate_series(21, 40) g, regress_session(g) GROUP BY 1, 2;
SELECT autonomous_session_close('s');
-- calls: cancelled from outside, by their own timeout
CREATE FUNCTION regress_call(round int, OUT ended text, OUT told boolean) LANGUAGE plpgsql AS $$
DECLARE
    d text;
BEGIN
    PERFORM autonomous_exec('CALL regress_commits($1)', round);
    ended := 'done';
EXCEPTION WHEN query_canceled THEN
    GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL;
    ended := SQLSTATE;
    told := d = format('The autonomous command had already committed %s of its transactions.',
                       (SELECT count(*) FROM regress_commits c WHERE c.round = regress_call.round));
END $$;
SET statement_timeout = '300ms';
SELECT * FROM regress_call(41);
SELECT * FROM regress_call(42);
SELECT * FROM regress_call(43);
RESET statement_timeout;
-- nothing goes on
CREATE TABLE regress_before AS SELECT count(*) AS n FROM regress_commits;
SELECT pg_sleep(0.1);
SELECT count(*) - (SELECT n FROM regress_before) AS later FROM regress_commits;
DROP FUNCTION regress_runs, regress_task, regress_session, regress_call;
DROP PROCEDURE regress_commits;
DROP TABLE regress_commits, regress_before;
