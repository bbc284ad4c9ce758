/* aside_pg_background 0.1.0: pg_background's functions over tasks, in the schema named at CREATE EXTENSION; what they share, in schema aside. */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION aside_pg_background" to load this file. \quit

-- The functions of 1.x by PID, pg_background_run, and the _v2 functions of 1.6 to 2.0, whose cookie is the task's id.
-- Not here: the names without _v2 that 2.0 gave another meaning, and its role: members of aside_user may execute these.
--
-- Nothing may depend on the caller's search_path, and it must not be set either, where a task is started: the task has the
-- caller's settings. Hence bodies that are parsed here, or qualified names.

-- pg_aside's own functions, under names that do not depend on its schema.
CREATE FUNCTION aside.background_wait(task bigint, timeout interval) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_wait';
CREATE FUNCTION aside.background_cancel(task bigint, grace interval) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_cancel';
CREATE FUNCTION aside.background_progress(percent float8, message text) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_progress';

CREATE FUNCTION aside.background_launch(sql text, queue_size int, label text, has_cookie boolean, discard boolean,
    OUT pid int, OUT cookie bigint)
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_background_launch';
COMMENT ON FUNCTION aside.background_launch(text, int, text, boolean, boolean) IS
    'for aside_pg_background: start a task and make a handle of this session for it; without a cookie its PID is no other handle''s';
CREATE FUNCTION aside.background_task(pid int, cookie bigint) RETURNS bigint
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_background_task';
COMMENT ON FUNCTION aside.background_task(int, bigint) IS
    'for aside_pg_background: the task of a handle (42704 or 55000 if there is no such handle), NULL if it has ended and is not kept';
CREATE FUNCTION aside.background_handles(OUT pid int, OUT cookie bigint, OUT queue_size int) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_background_handles';
COMMENT ON FUNCTION aside.background_handles() IS 'for aside_pg_background: handles of this session, the oldest first';
CREATE FUNCTION aside.background_stats(OUT launched bigint, OUT completed bigint, OUT failed bigint, OUT cancelled bigint,
    OUT active bigint, OUT total_ms float8)
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_background_stats';
COMMENT ON FUNCTION aside.background_stats() IS
    'for aside_pg_background: what this session has started; how a submitted or detached task ends is not known';

-- 1.x
CREATE FUNCTION pg_background_launch(sql text, queue_size int DEFAULT 65536) RETURNS int
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE
RETURN (SELECT l.pid FROM aside.background_launch(sql, queue_size, NULL, false, false) l);
COMMENT ON FUNCTION pg_background_launch(text, int) IS
    'start a command; the PID of the worker that runs it, or a number above 1000000000 where it has to wait for one or that PID is taken by an earlier command not yet read';
CREATE FUNCTION pg_background_result(pid int) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_background_result';
COMMENT ON FUNCTION pg_background_result(int) IS
    'wait for a command and return its rows, or the tag of each statement if none has rows; once: 42704 after that';
CREATE FUNCTION pg_background_detach(pid int) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_background_detach';
COMMENT ON FUNCTION pg_background_detach(int) IS 'let a command go on and forget it (42704 if it is not known)';
CREATE FUNCTION pg_background_run(pid int, query text) RETURNS int
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_background_run';
COMMENT ON FUNCTION pg_background_run(int, text) IS
    'start the next command in a worker that pg_background_launch has named (55000 if it has gone); its PID; results are read in the order of the commands';

-- 1.6 to 2.0
CREATE TYPE pg_background_handle AS (pid int, cookie bigint);
COMMENT ON TYPE pg_background_handle IS 'PID of a worker, and the id of the task that it runs';
CREATE TYPE pg_background_stats AS (
    workers_launched bigint,
    workers_completed bigint,
    workers_failed bigint,
    workers_canceled bigint,
    workers_timed_out bigint,
    workers_active int,
    avg_execution_ms float8,
    max_workers int
);
CREATE TYPE pg_background_progress_info AS (progress_pct int, progress_msg text);

CREATE FUNCTION pg_background_launch_v2(sql text, queue_size int DEFAULT 65536, label text DEFAULT NULL)
RETURNS pg_background_handle
LANGUAGE sql VOLATILE PARALLEL UNSAFE
RETURN (SELECT ROW(l.pid, l.cookie)::pg_background_handle FROM aside.background_launch(sql, queue_size, label, true, false) l);
CREATE FUNCTION pg_background_submit_v2(sql text, queue_size int DEFAULT 65536, label text DEFAULT NULL)
RETURNS pg_background_handle
LANGUAGE sql VOLATILE PARALLEL UNSAFE
RETURN (SELECT ROW(l.pid, l.cookie)::pg_background_handle FROM aside.background_launch(sql, queue_size, label, true, true) l);
CREATE FUNCTION pg_background_result_v2(pid int, cookie bigint) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_background_result';
CREATE FUNCTION pg_background_detach_v2(pid int, cookie bigint) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_background_detach';

-- A task that is not kept may be no more as soon as it has ended.
CREATE FUNCTION aside.background_cancel_handle(pid int, cookie bigint, grace_ms int) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE AS $$
DECLARE
    task CONSTANT pg_catalog.int8 := aside.background_task(pid, cookie);
BEGIN
    IF task IS NOT NULL THEN
        PERFORM aside.background_cancel(task, CASE WHEN grace_ms OPERATOR(pg_catalog.>) 0
            THEN pg_catalog.make_interval(secs => least(grace_ms, 3600000)::pg_catalog.float8 OPERATOR(pg_catalog./) 1000) END);
    END IF;
EXCEPTION WHEN undefined_object THEN
    IF task IS NULL THEN
        RAISE;
    END IF;
END
$$;
CREATE FUNCTION aside.background_wait_handle(pid int, cookie bigint, timeout_ms int) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE AS $$
DECLARE
    task CONSTANT pg_catalog.int8 := aside.background_task(pid, cookie);
BEGIN
    RETURN task IS NULL OR aside.background_wait(task, CASE WHEN timeout_ms IS NOT NULL
        THEN pg_catalog.make_interval(secs => timeout_ms::pg_catalog.float8 OPERATOR(pg_catalog./) 1000) END);
EXCEPTION WHEN undefined_object THEN
    IF task IS NULL THEN
        RAISE;
    END IF;
    RETURN true;
END
$$;

CREATE FUNCTION pg_background_cancel_v2(pid int, cookie bigint, grace_ms int DEFAULT 0) RETURNS void
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE RETURN aside.background_cancel_handle(pid, cookie, grace_ms);
CREATE FUNCTION pg_background_cancel_v2_grace(pid int, cookie bigint, grace_ms int) RETURNS void
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE RETURN aside.background_cancel_handle(pid, cookie, grace_ms);
CREATE FUNCTION pg_background_wait_v2(pid int, cookie bigint, timeout_ms int DEFAULT 0) RETURNS boolean
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE
RETURN aside.background_wait_handle(pid, cookie, CASE WHEN timeout_ms > 0 THEN timeout_ms END);
CREATE FUNCTION pg_background_wait_v2_timeout(pid int, cookie bigint, timeout_ms int) RETURNS boolean
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE RETURN aside.background_wait_handle(pid, cookie, greatest(timeout_ms, 0));

COMMENT ON FUNCTION pg_background_launch_v2(text, int, text) IS 'start a command; its handle';
COMMENT ON FUNCTION pg_background_submit_v2(text, int, text) IS 'start a command whose result is not kept; its handle';
COMMENT ON FUNCTION pg_background_result_v2(int, bigint) IS
    'wait for a command and return its rows, or the tag of each statement if none has rows; once: 42704 after that; 0A000 if it was submitted';
COMMENT ON FUNCTION pg_background_detach_v2(int, bigint) IS 'let a command go on and forget it';
COMMENT ON FUNCTION pg_background_cancel_v2(int, bigint, int) IS
    'cancel a command: it will not commit; with a grace in milliseconds, wait that long for its end and then end its worker';
COMMENT ON FUNCTION pg_background_cancel_v2_grace(int, bigint, int) IS 'as pg_background_cancel_v2';
COMMENT ON FUNCTION pg_background_wait_v2(int, bigint, int) IS
    'wait for the end of a command; false if the milliseconds have passed before (0: wait for as long as it takes)';
COMMENT ON FUNCTION pg_background_wait_v2_timeout(int, bigint, int) IS
    'wait for the end of a command; false if the milliseconds have passed before (0: do not wait)';

CREATE FUNCTION aside.background_list(OUT pid int, OUT cookie bigint, OUT launched_at timestamptz, OUT user_id oid,
    OUT queue_size int, OUT state text, OUT sql_preview text, OUT last_error text, OUT consumed boolean, OUT label text)
RETURNS SETOF record
LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT h.pid, h.cookie, t.submitted, r.oid, h.queue_size,
        CASE WHEN t.state IN ('pending', 'queued') THEN 'starting' WHEN t.state = 'running' THEN 'running'
            WHEN t.state = 'cancelled' THEN 'canceled' ELSE 'stopped' END,
        left(t.command, 120), t.message, false, t.label
    FROM aside.background_handles() h
        LEFT JOIN aside.task_rows() t ON t.id = h.cookie
        LEFT JOIN pg_catalog.pg_roles r ON r.rolname = t.owner;
END;
-- 1.6 to 1.8 have no label: columns are as many as the caller expects.
CREATE FUNCTION pg_background_list_v2() RETURNS SETOF record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE AS $$
BEGIN
    BEGIN
        RETURN QUERY SELECT * FROM aside.background_list();
    EXCEPTION WHEN datatype_mismatch THEN
        RETURN QUERY SELECT l.pid, l.cookie, l.launched_at, l.user_id, l.queue_size, l.state, l.sql_preview, l.last_error, l.consumed
            FROM aside.background_list() l;
    END;
END
$$;
COMMENT ON FUNCTION pg_background_list_v2() IS
    'handles of this session, AS (pid int, cookie bigint, launched_at timestamptz, user_id oid, queue_size int, state text, sql_preview text, last_error text, consumed boolean [, label text])';

CREATE FUNCTION pg_background_stats_v2() RETURNS pg_background_stats
LANGUAGE sql VOLATILE PARALLEL UNSAFE
RETURN (SELECT ROW(s.launched, s.completed, s.failed, s.cancelled, 0, s.active,
        s.total_ms OPERATOR(pg_catalog./) nullif(s.completed + s.failed + s.cancelled, 0), pg_catalog.current_setting('aside.max_workers'))::pg_background_stats
    FROM aside.background_stats() s);
COMMENT ON FUNCTION pg_background_stats_v2() IS
    'what this session has started; how a submitted or detached command ends is not known';

CREATE FUNCTION pg_background_progress(pct int, msg text DEFAULT NULL) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE RETURN aside.background_progress(least(greatest(pct, 0), 100), msg);
COMMENT ON FUNCTION pg_background_progress(int, text) IS
    'say how far the command is that this one is part of, from 0 to 100; without effect outside of a task';
CREATE FUNCTION pg_background_report_progress(pct int, msg text DEFAULT NULL) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE RETURN aside.background_progress(least(greatest(pct, 0), 100), msg);
COMMENT ON FUNCTION pg_background_report_progress(int, text) IS 'as pg_background_progress, under its name in 2.0';
CREATE FUNCTION pg_background_get_progress_v2(pid int, cookie bigint) RETURNS pg_background_progress_info
LANGUAGE sql VOLATILE PARALLEL UNSAFE
RETURN (SELECT CASE WHEN t.id IS NOT NULL THEN ROW(t.progress, t.progress_message)::pg_background_progress_info END
    FROM aside.background_task(pid, cookie) h(id)
        LEFT JOIN aside.task_rows() t ON t.id = h.id AND (t.progress IS NOT NULL OR t.progress_message IS NOT NULL));
COMMENT ON FUNCTION pg_background_get_progress_v2(int, bigint) IS 'how far a command says it is; NULL if it has not said so';

CREATE FUNCTION pg_background_detach_all_v2() RETURNS int
LANGUAGE sql VOLATILE PARALLEL UNSAFE
RETURN (SELECT count(*) FROM aside.background_handles() h, LATERAL pg_background_detach_v2(h.pid, h.cookie));
COMMENT ON FUNCTION pg_background_detach_all_v2() IS 'let all commands of this session go on and forget them; how many';
CREATE FUNCTION pg_background_cancel_all_v2() RETURNS int
LANGUAGE sql VOLATILE PARALLEL UNSAFE
RETURN (SELECT count(*) FROM aside.background_list() l, LATERAL pg_background_cancel_v2(l.pid, l.cookie)
    WHERE l.state IN ('starting', 'running'));
COMMENT ON FUNCTION pg_background_cancel_all_v2() IS 'cancel all commands of this session that have not ended; how many';

-- For members of aside_user only, as what they call.
DO $grant$
DECLARE
    function regprocedure;
BEGIN
    FOR function IN
        SELECT p.oid FROM pg_catalog.pg_proc p, pg_catalog.pg_depend d, pg_catalog.pg_extension e
        WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid OPERATOR(pg_catalog.=) p.oid
            AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid OPERATOR(pg_catalog.=) e.oid
            AND d.deptype OPERATOR(pg_catalog.=) 'e' AND e.extname OPERATOR(pg_catalog.=) 'aside_pg_background'
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', function);
        EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO aside_user', function);
    END LOOP;
END
$grant$;
