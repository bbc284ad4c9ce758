/* aside_pg_background: pg_background's functions over tasks, in the schema named at CREATE EXTENSION; what they share, in schema aside. */

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
CREATE FUNCTION aside.background_wait_any(tasks bigint[], timeout interval) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_wait_any';
COMMENT ON FUNCTION aside.background_wait(bigint, interval) IS 'For aside_pg_background: does what async_wait() does.';
COMMENT ON FUNCTION aside.background_cancel(bigint, interval) IS 'For aside_pg_background: does what async_cancel() does.';
COMMENT ON FUNCTION aside.background_progress(float8, text) IS 'For aside_pg_background: does what async_progress() does.';
COMMENT ON FUNCTION aside.background_wait_any(bigint[], interval) IS 'For aside_pg_background: does what async_wait_any() does.';

-- pg_background's settings, from now on in this session.
CREATE FUNCTION aside.background_settings() RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_background_settings';
COMMENT ON FUNCTION aside.background_settings() IS
    'For aside_pg_background: defines pg_background.max_workers, .default_queue_size and .worker_timeout in this session.';
SELECT aside.background_settings();

CREATE FUNCTION aside.background_launch(sql text, queue_size int, label text, has_cookie boolean, discard boolean,
    OUT pid int, OUT cookie bigint)
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_background_launch';
COMMENT ON FUNCTION aside.background_launch(text, int, text, boolean, boolean) IS
    'For aside_pg_background: starts a task, and makes a handle of this session for it. Without a cookie, no other handle has its PID.';
CREATE FUNCTION aside.background_task(pid int, cookie bigint, missing_ok boolean) RETURNS bigint
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_background_task_of';
COMMENT ON FUNCTION aside.background_task(int, bigint, boolean) IS
    'For aside_pg_background: returns the task of a handle, or NULL if the task has ended and is not kept. If there is no such handle, raises 42704 or 55000, or returns NULL.';
CREATE FUNCTION aside.background_sql(pid int, cookie bigint) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_background_sql';
COMMENT ON FUNCTION aside.background_sql(int, bigint) IS 'For aside_pg_background: returns the first 64 kB of the command of a handle.';
CREATE FUNCTION aside.background_end(pid int, cookie bigint, OUT row_count bigint, OUT command_tag text, OUT completed boolean,
    OUT has_error boolean, OUT started_at timestamptz, OUT finished_at timestamptz, OUT sqlstate text, OUT message text,
    OUT detail text, OUT hint text, OUT context text, OUT schema_name text, OUT table_name text, OUT column_name text,
    OUT constraint_name text)
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_background_end';
COMMENT ON FUNCTION aside.background_end(int, bigint) IS
    'For aside_pg_background: returns how the command of a handle ended, as far as that is known. Does not read its result.';
CREATE FUNCTION aside.background_timed_out() RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_background_timed_out';
COMMENT ON FUNCTION aside.background_timed_out() IS 'For aside_pg_background: counts a command that took longer than its caller waited.';
CREATE FUNCTION aside.background_handles(OUT pid int, OUT cookie bigint, OUT queue_size int) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_background_handles';
COMMENT ON FUNCTION aside.background_handles() IS 'For aside_pg_background: returns the handles of this session, the oldest first.';
CREATE FUNCTION aside.background_stats(OUT launched bigint, OUT completed bigint, OUT failed bigint, OUT cancelled bigint,
    OUT timed_out bigint, OUT active bigint, OUT total_ms float8)
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_background_counts';
COMMENT ON FUNCTION aside.background_stats() IS
    'For aside_pg_background: returns counts of what this session has started. How a submitted or detached task ends is not known.';

-- 1.x
CREATE FUNCTION pg_background_launch(sql text, queue_size int DEFAULT 65536) RETURNS int
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE
RETURN (SELECT l.pid FROM aside.background_launch(sql, queue_size, NULL, false, false) l);
COMMENT ON FUNCTION pg_background_launch(text, int) IS
    'Starts a command. Returns the PID of the worker that runs it. If the command has to wait for a worker, or an earlier unread command has that PID, returns a number above 1000000000.';
CREATE FUNCTION pg_background_result(pid int) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_background_result';
COMMENT ON FUNCTION pg_background_result(int) IS
    'Waits for a command. Returns its rows, or the command tag of each statement if none returned rows. A result can be read once; after that the function raises 42704.';
CREATE FUNCTION pg_background_detach(pid int) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_background_detach';
COMMENT ON FUNCTION pg_background_detach(int) IS 'Lets a command go on, and forgets it. Raises 42704 if the command is not known.';
CREATE FUNCTION pg_background_run(pid int, query text) RETURNS int
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_background_run';
COMMENT ON FUNCTION pg_background_run(int, text) IS
    'Starts the next command in a worker that pg_background_launch has named, and returns its PID. Results are read in the order of the commands. Raises 55000 if the worker is gone.';

-- 1.6 to 2.0
CREATE TYPE pg_background_handle AS (pid int, cookie bigint);
COMMENT ON TYPE pg_background_handle IS 'The PID of a worker, and the id of the task that it runs.';
COMMENT ON COLUMN pg_background_handle.pid IS 'Process that runs the command.';
COMMENT ON COLUMN pg_background_handle.cookie IS 'The task''s id, as in aside.tasks.';
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
COMMENT ON TYPE pg_background_stats IS 'The result of pg_background_stats_v2.';
COMMENT ON COLUMN pg_background_stats.workers_launched IS 'Commands that this session has started.';
COMMENT ON COLUMN pg_background_stats.workers_completed IS 'Commands of this session that ended without an error.';
COMMENT ON COLUMN pg_background_stats.workers_failed IS 'Commands of this session that ended with an error.';
COMMENT ON COLUMN pg_background_stats.workers_canceled IS 'Commands of this session that were cancelled.';
COMMENT ON COLUMN pg_background_stats.workers_timed_out IS 'Commands of this session that took too long.';
COMMENT ON COLUMN pg_background_stats.workers_active IS 'Commands of this session that have not ended.';
COMMENT ON COLUMN pg_background_stats.avg_execution_ms IS 'Average duration of the commands that have ended, in milliseconds.';
COMMENT ON COLUMN pg_background_stats.max_workers IS 'Number of commands that may run at a time.';
CREATE TYPE pg_background_progress_info AS (progress_pct int, progress_msg text);
COMMENT ON TYPE pg_background_progress_info IS 'The result of pg_background_get_progress_v2.';
COMMENT ON COLUMN pg_background_progress_info.progress_pct IS 'What the command said last of its progress, in percent.';
COMMENT ON COLUMN pg_background_progress_info.progress_msg IS 'The message that the command gave with its progress.';
CREATE TYPE pg_background_result_info AS (
    row_count bigint,
    command_tag text,
    completed boolean,
    has_error boolean,
    started_at timestamptz,
    finished_at timestamptz
);
COMMENT ON TYPE pg_background_result_info IS 'The result of pg_background_result_info_v2.';
COMMENT ON COLUMN pg_background_result_info.row_count IS 'Rows that the command processed.';
COMMENT ON COLUMN pg_background_result_info.command_tag IS 'Tag of the last statement.';
COMMENT ON COLUMN pg_background_result_info.completed IS 'True if the command has ended.';
COMMENT ON COLUMN pg_background_result_info.has_error IS 'True if the command ended with an error.';
COMMENT ON COLUMN pg_background_result_info.started_at IS 'Time when a worker began the command.';
COMMENT ON COLUMN pg_background_result_info.finished_at IS 'Time when the command ended.';
CREATE TYPE pg_background_error AS (
    sqlstate text,
    message text,
    detail text,
    hint text,
    context text,
    schema_name text,
    table_name text,
    column_name text,
    constraint_name text
);
COMMENT ON TYPE pg_background_error IS 'The result of pg_background_error_info_v2.';
COMMENT ON COLUMN pg_background_error.sqlstate IS 'SQLSTATE of the error.';
COMMENT ON COLUMN pg_background_error.message IS 'Message of the error.';
COMMENT ON COLUMN pg_background_error.detail IS 'Detail of the error.';
COMMENT ON COLUMN pg_background_error.hint IS 'Hint of the error.';
COMMENT ON COLUMN pg_background_error.context IS 'Context of the error.';
COMMENT ON COLUMN pg_background_error.schema_name IS 'Schema that the error names.';
COMMENT ON COLUMN pg_background_error.table_name IS 'Table that the error names.';
COMMENT ON COLUMN pg_background_error.column_name IS 'Column that the error names.';
COMMENT ON COLUMN pg_background_error.constraint_name IS 'Constraint that the error names.';
CREATE TYPE pg_background_outcome AS (
    pid int,
    cookie bigint,
    state text,
    consumed boolean,
    completed boolean,
    has_error boolean,
    row_count bigint,
    command_tag text,
    sqlstate text,
    error_message text,
    label text,
    launched_at timestamptz
);
COMMENT ON TYPE pg_background_outcome IS 'The result of pg_background_outcome_v2.';
COMMENT ON COLUMN pg_background_outcome.pid IS 'Process that ran the command.';
COMMENT ON COLUMN pg_background_outcome.cookie IS 'Number of the task, as in aside.tasks.';
COMMENT ON COLUMN pg_background_outcome.state IS 'State of the command: starting, running, stopped, or canceled.';
COMMENT ON COLUMN pg_background_outcome.consumed IS 'True if the result has been read.';
COMMENT ON COLUMN pg_background_outcome.completed IS 'True if the command has ended.';
COMMENT ON COLUMN pg_background_outcome.has_error IS 'True if the command ended with an error.';
COMMENT ON COLUMN pg_background_outcome.row_count IS 'Rows that the command processed.';
COMMENT ON COLUMN pg_background_outcome.command_tag IS 'Tag of the last statement.';
COMMENT ON COLUMN pg_background_outcome.sqlstate IS 'SQLSTATE of the error.';
COMMENT ON COLUMN pg_background_outcome.error_message IS 'Message of the error.';
COMMENT ON COLUMN pg_background_outcome.label IS 'Label of the command.';
COMMENT ON COLUMN pg_background_outcome.launched_at IS 'Time when the command was started.';
CREATE TYPE pg_background_run_result AS (
    pid int,
    cookie bigint,
    state text,
    consumed boolean,
    completed boolean,
    has_error boolean,
    row_count bigint,
    command_tag text,
    sqlstate text,
    error_message text,
    label text,
    launched_at timestamptz,
    timed_out boolean,
    elapsed_ms bigint
);
COMMENT ON TYPE pg_background_run_result IS 'The result of pg_background_run_v2.';
COMMENT ON COLUMN pg_background_run_result.pid IS 'Process that ran the command.';
COMMENT ON COLUMN pg_background_run_result.cookie IS 'Number of the task, as in aside.tasks.';
COMMENT ON COLUMN pg_background_run_result.state IS 'State of the command: starting, running, stopped, or canceled.';
COMMENT ON COLUMN pg_background_run_result.consumed IS 'True if the result has been read.';
COMMENT ON COLUMN pg_background_run_result.completed IS 'True if the command has ended.';
COMMENT ON COLUMN pg_background_run_result.has_error IS 'True if the command ended with an error.';
COMMENT ON COLUMN pg_background_run_result.row_count IS 'Rows that the command processed.';
COMMENT ON COLUMN pg_background_run_result.command_tag IS 'Tag of the last statement.';
COMMENT ON COLUMN pg_background_run_result.sqlstate IS 'SQLSTATE of the error.';
COMMENT ON COLUMN pg_background_run_result.error_message IS 'Message of the error.';
COMMENT ON COLUMN pg_background_run_result.label IS 'Label of the command.';
COMMENT ON COLUMN pg_background_run_result.launched_at IS 'Time when the command was started.';
COMMENT ON COLUMN pg_background_run_result.timed_out IS 'True if the command took longer than it was given.';
COMMENT ON COLUMN pg_background_run_result.elapsed_ms IS 'How long the command took, in milliseconds.';

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
    task CONSTANT pg_catalog.int8 := aside.background_task(pid, cookie, false);
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
    task CONSTANT pg_catalog.int8 := aside.background_task(pid, cookie, false);
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

COMMENT ON FUNCTION aside.background_cancel_handle(int, bigint, int) IS
    'For aside_pg_background: cancels the command of a handle, with a grace period in milliseconds.';
COMMENT ON FUNCTION aside.background_wait_handle(int, bigint, int) IS
    'For aside_pg_background: waits for the command of a handle. Returns false if the timeout, in milliseconds, passes first; a NULL timeout never passes.';

CREATE FUNCTION pg_background_cancel_v2(pid int, cookie bigint, grace_ms int DEFAULT 0) RETURNS void
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE RETURN aside.background_cancel_handle(pid, cookie, grace_ms);
CREATE FUNCTION pg_background_cancel_v2_grace(pid int, cookie bigint, grace_ms int) RETURNS void
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE RETURN aside.background_cancel_handle(pid, cookie, grace_ms);
CREATE FUNCTION pg_background_wait_v2(pid int, cookie bigint, timeout_ms int DEFAULT 0) RETURNS boolean
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE
RETURN aside.background_wait_handle(pid, cookie, CASE WHEN timeout_ms > 0 THEN timeout_ms END);
CREATE FUNCTION pg_background_wait_v2_timeout(pid int, cookie bigint, timeout_ms int) RETURNS boolean
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE RETURN aside.background_wait_handle(pid, cookie, greatest(timeout_ms, 0));

COMMENT ON FUNCTION pg_background_launch_v2(text, int, text) IS 'Starts a command. Returns its handle.';
COMMENT ON FUNCTION pg_background_submit_v2(text, int, text) IS 'Starts a command whose result is not kept. Returns its handle.';
COMMENT ON FUNCTION pg_background_result_v2(int, bigint) IS
    'Waits for a command. Returns its rows, or the command tag of each statement if none returned rows. A result can be read once; after that the function raises 42704. Raises 0A000 if the command was submitted.';
COMMENT ON FUNCTION pg_background_detach_v2(int, bigint) IS 'Lets a command go on, and forgets it.';
COMMENT ON FUNCTION pg_background_cancel_v2(int, bigint, int) IS
    'Cancels a command, which then does not commit. With a grace period in milliseconds, waits that long for its end, and then ends its worker.';
COMMENT ON FUNCTION pg_background_cancel_v2_grace(int, bigint, int) IS 'Does what pg_background_cancel_v2 does.';
COMMENT ON FUNCTION pg_background_wait_v2(int, bigint, int) IS
    'Waits for the end of a command. Returns false if the timeout, in milliseconds, passes first; a timeout of 0 never passes.';
COMMENT ON FUNCTION pg_background_wait_v2_timeout(int, bigint, int) IS
    'Waits for the end of a command. Returns false if the timeout, in milliseconds, passes first; with 0 it does not wait.';

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
COMMENT ON FUNCTION aside.background_list() IS 'For aside_pg_background: returns the handles of this session, with the state of their commands.';
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
    'Returns the handles of this session, AS (pid int, cookie bigint, launched_at timestamptz, user_id oid, queue_size int, state text, sql_preview text, last_error text, consumed boolean [, label text]).';

CREATE FUNCTION pg_background_stats_v2() RETURNS pg_background_stats
LANGUAGE sql VOLATILE PARALLEL UNSAFE
RETURN (SELECT ROW(s.launched, s.completed, s.failed, s.cancelled, s.timed_out, s.active,
        s.total_ms OPERATOR(pg_catalog./) nullif(s.completed + s.failed + s.cancelled, 0), pg_catalog.current_setting('aside.max_workers'))::pg_background_stats
    FROM aside.background_stats() s);
COMMENT ON FUNCTION pg_background_stats_v2() IS
    'Returns counts of what this session has started. How a submitted or detached command ends is not known.';

CREATE FUNCTION pg_background_progress(pct int, msg text DEFAULT NULL) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE RETURN aside.background_progress(least(greatest(pct, 0), 100), msg);
COMMENT ON FUNCTION pg_background_progress(int, text) IS
    'Reports the progress of the command that calls it, from 0 to 100 per cent. Has no effect outside of a task.';
CREATE FUNCTION pg_background_report_progress(pct int, msg text DEFAULT NULL) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE RETURN aside.background_progress(least(greatest(pct, 0), 100), msg);
COMMENT ON FUNCTION pg_background_report_progress(int, text) IS 'Does what pg_background_progress does, under its name in 2.0.';
CREATE FUNCTION pg_background_get_progress_v2(pid int, cookie bigint) RETURNS pg_background_progress_info
LANGUAGE sql VOLATILE PARALLEL UNSAFE
RETURN (SELECT CASE WHEN t.id IS NOT NULL THEN ROW(t.progress, t.progress_message)::pg_background_progress_info END
    FROM aside.background_task(pid, cookie, true) h(id)
        LEFT JOIN aside.task_rows() t ON t.id = h.id AND (t.progress IS NOT NULL OR t.progress_message IS NOT NULL));
COMMENT ON FUNCTION pg_background_get_progress_v2(int, bigint) IS
    'Returns the progress that a command has reported. Returns NULL if it has reported none, or there is no such handle.';

CREATE FUNCTION pg_background_detach_all_v2() RETURNS int
LANGUAGE sql VOLATILE PARALLEL UNSAFE
RETURN (SELECT count(*) FROM aside.background_handles() h, LATERAL pg_background_detach_v2(h.pid, h.cookie));
COMMENT ON FUNCTION pg_background_detach_all_v2() IS 'Lets all commands of this session go on, and forgets them. Returns how many.';
CREATE FUNCTION pg_background_cancel_all_v2() RETURNS int
LANGUAGE sql VOLATILE PARALLEL UNSAFE
RETURN (SELECT count(*) FROM aside.background_list() l, LATERAL pg_background_cancel_v2(l.pid, l.cookie)
    WHERE l.state IN ('starting', 'running'));
COMMENT ON FUNCTION pg_background_cancel_all_v2() IS 'Cancels all commands of this session that have not ended. Returns how many.';

-- Views, without a column list.
CREATE VIEW pg_background_list AS SELECT * FROM aside.background_list();
COMMENT ON VIEW pg_background_list IS 'Commands that this session has started and not forgotten.';
COMMENT ON COLUMN pg_background_list.pid IS 'Process that runs the command.';
COMMENT ON COLUMN pg_background_list.cookie IS 'Number of the task, as in aside.tasks.';
COMMENT ON COLUMN pg_background_list.launched_at IS 'Time when the command was started.';
COMMENT ON COLUMN pg_background_list.user_id IS 'Role that the command runs as.';
COMMENT ON COLUMN pg_background_list.queue_size IS 'Size of the queue that was asked for.';
COMMENT ON COLUMN pg_background_list.state IS 'State of the command: starting, running, stopped, or canceled.';
COMMENT ON COLUMN pg_background_list.sql_preview IS 'The first 120 characters of the command.';
COMMENT ON COLUMN pg_background_list.last_error IS 'Message of the error that ended the command.';
COMMENT ON COLUMN pg_background_list.consumed IS 'True if the result has been read.';
COMMENT ON COLUMN pg_background_list.label IS 'Label of the command.';
CREATE VIEW pg_background_activity AS
    SELECT l.pid, l.cookie, l.launched_at, l.user_id, l.queue_size, l.state AS pgbg_state, l.sql_preview, l.last_error, l.consumed,
        l.label, s.state AS backend_state, s.wait_event_type, s.wait_event, s.xact_start, s.query_start, s.backend_start, s.query
    -- The worker of one that has ended serves others.
    FROM pg_background_list l LEFT JOIN pg_catalog.pg_stat_activity s ON s.pid = l.pid AND l.state = 'running';
COMMENT ON VIEW pg_background_activity IS 'Commands of this session, with the row of pg_stat_activity of the worker that runs each.';
COMMENT ON COLUMN pg_background_activity.pid IS 'Process that runs the command.';
COMMENT ON COLUMN pg_background_activity.cookie IS 'Number of the task, as in aside.tasks.';
COMMENT ON COLUMN pg_background_activity.launched_at IS 'Time when the command was started.';
COMMENT ON COLUMN pg_background_activity.user_id IS 'Role that the command runs as.';
COMMENT ON COLUMN pg_background_activity.queue_size IS 'Size of the queue that was asked for.';
COMMENT ON COLUMN pg_background_activity.sql_preview IS 'The first 120 characters of the command.';
COMMENT ON COLUMN pg_background_activity.last_error IS 'Message of the error that ended the command.';
COMMENT ON COLUMN pg_background_activity.consumed IS 'True if the result has been read.';
COMMENT ON COLUMN pg_background_activity.label IS 'Label of the command.';
COMMENT ON COLUMN pg_background_activity.pgbg_state IS 'State of the command: starting, running, stopped, or canceled.';
COMMENT ON COLUMN pg_background_activity.backend_state IS 'State of the process, as in pg_stat_activity.';
COMMENT ON COLUMN pg_background_activity.wait_event_type IS 'What the process waits for, as in pg_stat_activity.';
COMMENT ON COLUMN pg_background_activity.wait_event IS 'What the process waits for, as in pg_stat_activity.';
COMMENT ON COLUMN pg_background_activity.xact_start IS 'Time when the transaction of the process began.';
COMMENT ON COLUMN pg_background_activity.query_start IS 'Time when the process began its query.';
COMMENT ON COLUMN pg_background_activity.backend_start IS 'Time when the process started.';
COMMENT ON COLUMN pg_background_activity.query IS 'What the process runs, as in pg_stat_activity.';
REVOKE ALL ON pg_background_list, pg_background_activity FROM PUBLIC;
GRANT SELECT ON pg_background_list, pg_background_activity TO aside_user;

-- How a command ended. None of these reads its result.
CREATE FUNCTION pg_background_result_info_v2(pid int, cookie bigint) RETURNS pg_background_result_info
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE
RETURN (SELECT ROW(e.row_count, e.command_tag, e.completed, e.has_error, e.started_at, e.finished_at)::pg_background_result_info
    FROM aside.background_end(pid, cookie) e);
COMMENT ON FUNCTION pg_background_result_info_v2(int, bigint) IS
    'Returns rows, command tag and times of a command, whether it has ended, and whether by an error. Does not read its result.';
CREATE FUNCTION pg_background_error_info_v2(pid int, cookie bigint) RETURNS pg_background_error
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE
RETURN (SELECT CASE WHEN e.sqlstate IS NOT NULL THEN ROW(e.sqlstate, e.message, e.detail, e.hint, e.context, e.schema_name, e.table_name,
        e.column_name, e.constraint_name)::pg_background_error END
    FROM aside.background_end(pid, cookie) e);
COMMENT ON FUNCTION pg_background_error_info_v2(int, bigint) IS
    'Returns the error that ended a command, field by field. Returns NULL if there was none.';
CREATE FUNCTION pg_background_full_sql_v2(pid int, cookie bigint) RETURNS text
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE RETURN aside.background_sql(pid, cookie);
COMMENT ON FUNCTION pg_background_full_sql_v2(int, bigint) IS
    'Returns the command of a handle. If it is longer than 64 kB, the text ends with [...].';
CREATE FUNCTION pg_background_outcome_v2(p_pid int, p_cookie bigint) RETURNS pg_background_outcome
LANGUAGE sql VOLATILE PARALLEL UNSAFE
RETURN (SELECT ROW(p_pid, p_cookie, l.state, l.consumed, e.completed, e.has_error, e.row_count, e.command_tag, e.sqlstate, e.message,
        l.label, l.launched_at)::pg_background_outcome
    FROM (VALUES (1)) one(x)
        LEFT JOIN aside.background_list() l ON l.pid = p_pid AND l.cookie = p_cookie
        LEFT JOIN LATERAL aside.background_end(l.pid, l.cookie) e ON true);
COMMENT ON FUNCTION pg_background_outcome_v2(int, bigint) IS
    'Returns the state of a command, or how it ended. What is not known, as for an unknown handle, is NULL.';

-- Whole rounds.
CREATE FUNCTION pg_background_run_v2(sql text, queue_size int DEFAULT 0, timeout_ms int DEFAULT 0, label text DEFAULT NULL)
RETURNS pg_background_run_result
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE AS $$
DECLARE
    began CONSTANT pg_catalog.timestamptz := pg_catalog.clock_timestamp();
    timed_out pg_catalog.bool;
    h pg_catalog.record;
    o pg_catalog.record;
BEGIN
    SELECT l.pid, l.cookie INTO h FROM aside.background_launch(sql, queue_size, label, true, false) l;
    timed_out := NOT aside.background_wait_handle(h.pid, h.cookie, CASE WHEN timeout_ms OPERATOR(pg_catalog.>) 0 THEN timeout_ms END);
    IF timed_out THEN
        PERFORM aside.background_timed_out(), aside.background_cancel_handle(h.pid, h.cookie, 1000);
        PERFORM aside.background_wait_handle(h.pid, h.cookie, 1000);
    END IF;
    o := @extschema@.pg_background_outcome_v2(h.pid, h.cookie);
    PERFORM @extschema@.pg_background_detach_v2(h.pid, h.cookie);
    RETURN (o.pid, o.cookie, o.state, o.consumed, o.completed, o.has_error, o.row_count, o.command_tag, o.sqlstate, o.error_message,
        o.label, o.launched_at, timed_out,
        (pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) began)
         OPERATOR(pg_catalog.*) 1000)::pg_catalog.int8);
END
$$;
COMMENT ON FUNCTION pg_background_run_v2(text, int, int, text) IS
    'Runs a command, waits for its end, and returns how it ended. If a positive timeout, in milliseconds, passes first, cancels the command.';
CREATE FUNCTION pg_background_run_query_v2(sql text, queue_size int DEFAULT 0, timeout_ms int DEFAULT 0, label text DEFAULT NULL,
    col_def text DEFAULT NULL)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE AS $$
DECLARE
    h pg_catalog.record;
BEGIN
    SELECT l.pid, l.cookie INTO h FROM aside.background_launch(sql, queue_size, label, true, false) l;
    IF NOT aside.background_wait_handle(h.pid, h.cookie, CASE WHEN timeout_ms OPERATOR(pg_catalog.>) 0 THEN timeout_ms END) THEN
        PERFORM aside.background_timed_out(), aside.background_cancel_handle(h.pid, h.cookie, 1000);
        PERFORM @extschema@.pg_background_detach_v2(h.pid, h.cookie);
        RAISE 'background command timed out after % ms', timeout_ms USING ERRCODE = 'query_canceled';
    END IF;
    -- Reading the result raises the error, if there was one.
    IF col_def IS NOT NULL THEN
        RETURN QUERY EXECUTE pg_catalog.format('SELECT * FROM %s($1, $2) AS r(%s)', '@extschema@.pg_background_result_v2', col_def)
            USING h.pid, h.cookie;
    ELSIF (@extschema@.pg_background_result_info_v2(h.pid, h.cookie)).has_error THEN
        PERFORM FROM @extschema@.pg_background_result_v2(h.pid, h.cookie) AS r(none pg_catalog.text);
    ELSE
        PERFORM @extschema@.pg_background_detach_v2(h.pid, h.cookie);
    END IF;
END
$$;
COMMENT ON FUNCTION pg_background_run_query_v2(text, int, int, text, text) IS
    'Runs a command, waits for its end, and returns its rows. col_def is the column list that follows AS; without it no rows are returned. Raises 57014 if the timeout, in milliseconds, passes first.';
CREATE FUNCTION pg_background_drain_v2(handles pg_background_handle[], timeout_ms int DEFAULT 0) RETURNS SETOF pg_background_outcome
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE AS $$
DECLARE
    due CONSTANT pg_catalog.timestamptz := CASE WHEN timeout_ms OPERATOR(pg_catalog.>) 0 THEN pg_catalog.clock_timestamp()
        OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => timeout_ms::pg_catalog.float8 OPERATOR(pg_catalog./) 1000) END;
    h pg_catalog.record;
    ended pg_catalog.bool;
BEGIN
    FOR h IN SELECT u.pid, u.cookie FROM ROWS FROM (pg_catalog.unnest(handles)) WITH ORDINALITY u(pid, cookie, n)
        WHERE u.pid IS NOT NULL AND u.cookie IS NOT NULL ORDER BY u.n
    LOOP
        ended := aside.background_task(h.pid, h.cookie, true) IS NULL OR aside.background_wait_handle(h.pid, h.cookie,
            greatest(pg_catalog.date_part('epoch', due OPERATOR(pg_catalog.-) pg_catalog.clock_timestamp())
                     OPERATOR(pg_catalog.*) 1000, CASE WHEN due IS NOT NULL THEN 0 END)::pg_catalog.int4);
        RETURN NEXT @extschema@.pg_background_outcome_v2(h.pid, h.cookie);
        IF ended AND EXISTS (SELECT FROM aside.background_handles() k
                             WHERE k.pid OPERATOR(pg_catalog.=) h.pid AND k.cookie OPERATOR(pg_catalog.=) h.cookie) THEN
            PERFORM @extschema@.pg_background_detach_v2(h.pid, h.cookie);
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION pg_background_drain_v2(pg_background_handle[], int) IS
    'Waits for commands, for all together no longer than a positive timeout in milliseconds. Returns how each has ended, in their order. Forgets those that have ended.';
CREATE FUNCTION pg_background_wait_any_v2(handles pg_background_handle[], timeout_ms int DEFAULT 0) RETURNS pg_background_handle
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE AS $$
DECLARE
    known pg_catalog.record;
    tasks pg_catalog.int8[];
    first pg_catalog.int8;
BEGIN
    FOR known IN SELECT k.pid, k.cookie, aside.background_task(k.pid, k.cookie, true) AS task
        FROM pg_catalog.unnest(handles) u(pid, cookie), aside.background_handles() k
        WHERE k.pid OPERATOR(pg_catalog.=) u.pid AND k.cookie OPERATOR(pg_catalog.=) u.cookie
    LOOP
        IF known.task IS NULL THEN
            RETURN (known.pid, known.cookie);
        END IF;
        tasks := pg_catalog.array_append(tasks, known.task);
    END LOOP;
    IF tasks IS NULL THEN
        RETURN NULL;
    END IF;
    first := aside.background_wait_any(tasks, CASE WHEN timeout_ms OPERATOR(pg_catalog.>) 0
        THEN pg_catalog.make_interval(secs => timeout_ms::pg_catalog.float8 OPERATOR(pg_catalog./) 1000) END);
    SELECT k.pid, k.cookie INTO known FROM aside.background_handles() k WHERE k.cookie OPERATOR(pg_catalog.=) first;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RETURN (known.pid, known.cookie);
END
$$;
COMMENT ON FUNCTION pg_background_wait_any_v2(pg_background_handle[], int) IS
    'Returns the first of these commands to end. Returns NULL if a positive timeout, in milliseconds, passes first, or none of the handles belongs to this session.';
CREATE FUNCTION pg_background_cancel_by_label_v2(pattern text, grace_ms int DEFAULT 0) RETURNS int
LANGUAGE sql VOLATILE PARALLEL UNSAFE
RETURN (SELECT count(*) FROM aside.background_list() l, LATERAL pg_background_cancel_v2(l.pid, l.cookie, grace_ms)
    WHERE l.state IN ('starting', 'running') AND l.label LIKE pattern);
COMMENT ON FUNCTION pg_background_cancel_by_label_v2(text, int) IS
    'Cancels all commands of this session whose label is LIKE the pattern. Returns how many.';
CREATE FUNCTION pg_background_purge_v2() RETURNS int
LANGUAGE sql VOLATILE PARALLEL UNSAFE
RETURN (SELECT count(*) FROM aside.background_list() l, LATERAL pg_background_detach_v2(l.pid, l.cookie)
    WHERE l.state NOT IN ('starting', 'running'));
COMMENT ON FUNCTION pg_background_purge_v2() IS 'Forgets all commands of this session that have ended. Returns how many.';

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
