/* pg_aside 0.1.0. Public functions go to the extension's schema, views to schema aside. */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION pg_aside" to load this file. \quit

CREATE SCHEMA aside;
COMMENT ON SCHEMA aside IS 'views of pg_aside';

-- Roles belong to the cluster: made once, and left there when the extension is dropped.
DO $role$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) 'aside_user') THEN
        CREATE ROLE aside_user NOLOGIN;
    END IF;
END
$role$;

CREATE FUNCTION autonomous_exec(command text) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_exec';
CREATE FUNCTION autonomous_exec(command text, VARIADIC args "any") RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_exec';

CREATE FUNCTION autonomous_query(command text) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_query';
CREATE FUNCTION autonomous_query(command text, VARIADIC args "any") RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_query';

CREATE FUNCTION autonomous_query_as(rowtype anyelement, command text) RETURNS SETOF anyelement
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_query_as';
CREATE FUNCTION autonomous_query_as(rowtype anyelement, command text, VARIADIC args "any") RETURNS SETOF anyelement
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_query_as';

CREATE FUNCTION autonomous_json(command text) RETURNS SETOF jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_json';
CREATE FUNCTION autonomous_json(command text, VARIADIC args "any") RETURNS SETOF jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_json';

COMMENT ON FUNCTION autonomous_exec(text) IS
    'run SQL in an autonomous transaction, which commits before this returns; rows processed by its last statement; NULL is an error (22004)';
COMMENT ON FUNCTION autonomous_exec(text, "any") IS
    'run SQL with parameters $1... in an autonomous transaction, which commits before this returns; rows processed by its last statement; a NULL command is an error (22004)';
COMMENT ON FUNCTION autonomous_query(text) IS
    'run SQL in an autonomous transaction and return the rows of its last statement, assigned to the column definition list (42804 if they do not fit)';
COMMENT ON FUNCTION autonomous_query(text, "any") IS
    'run SQL with parameters $1... in an autonomous transaction and return the rows of its last statement, assigned to the column definition list (42804 if they do not fit)';
COMMENT ON FUNCTION autonomous_query_as(anyelement, text) IS
    'run SQL in an autonomous transaction and return the rows of its last statement as the type of the first argument, whose value is not used';
COMMENT ON FUNCTION autonomous_query_as(anyelement, text, "any") IS
    'run SQL with parameters $1... in an autonomous transaction and return the rows of its last statement as the type of the first argument, whose value is not used';
COMMENT ON FUNCTION autonomous_json(text) IS
    'run SQL in an autonomous transaction and return the rows of its last statement, each as a jsonb object';
COMMENT ON FUNCTION autonomous_json(text, "any") IS
    'run SQL with parameters $1... in an autonomous transaction and return the rows of its last statement, each as a jsonb object';

CREATE FUNCTION autonomous_session_open(session text, database name DEFAULT current_database()) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_open';
CREATE FUNCTION autonomous_session_exec(session text, command text) RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_exec';
CREATE FUNCTION autonomous_session_exec(session text, command text, VARIADIC args "any") RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_exec';
CREATE FUNCTION autonomous_session_query(session text, command text) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_query';
CREATE FUNCTION autonomous_session_query(session text, command text, VARIADIC args "any") RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_query';
CREATE FUNCTION autonomous_session_send(session text, command text) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_send';
CREATE FUNCTION autonomous_session_send(session text, command text, VARIADIC args "any") RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_send';
CREATE FUNCTION autonomous_session_is_busy(session text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_is_busy';
CREATE FUNCTION autonomous_session_result(session text) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_result';
CREATE FUNCTION autonomous_session_cancel(session text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_cancel';
CREATE FUNCTION autonomous_session_error(session text) RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_error';
CREATE FUNCTION autonomous_session_notifications(session text, OUT channel text, OUT payload text, OUT pid int)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_notifications';
CREATE FUNCTION autonomous_session_close(session text) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_close';
CREATE FUNCTION autonomous_sessions(OUT session text, OUT database name, OUT pid int, OUT state text, OUT opened timestamptz)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_sessions';

COMMENT ON FUNCTION autonomous_session_open(text, name) IS
    'open a session under a name that is free (42710): a worker that keeps transactions, cursors, temporary tables and settings across calls, in this database or another one';
COMMENT ON FUNCTION autonomous_session_exec(text, text) IS
    'run SQL in a session and return the tag of its last statement; 08003 if there is no such session, 55000 if it is busy';
COMMENT ON FUNCTION autonomous_session_exec(text, text, "any") IS
    'run SQL with parameters $1... in a session and return the tag of its last statement; 08003 if there is no such session, 55000 if it is busy';
COMMENT ON FUNCTION autonomous_session_query(text, text) IS
    'run SQL in a session and return the rows of its last statement, assigned to the column definition list (42804 if they do not fit)';
COMMENT ON FUNCTION autonomous_session_query(text, text, "any") IS
    'run SQL with parameters $1... in a session and return the rows of its last statement, assigned to the column definition list (42804 if they do not fit)';
COMMENT ON FUNCTION autonomous_session_send(text, text) IS
    'send SQL to a session without waiting for it; autonomous_session_result reads what comes of it';
COMMENT ON FUNCTION autonomous_session_send(text, text, "any") IS
    'send SQL with parameters $1... to a session without waiting for it; autonomous_session_result reads what comes of it';
COMMENT ON FUNCTION autonomous_session_is_busy(text) IS
    'does the command that was sent to a session still run? false too when it waits for its results to be read';
COMMENT ON FUNCTION autonomous_session_result(text) IS
    'wait for the next result set of the command that was sent, and return it; no rows when all have been read; raises the command''s error';
COMMENT ON FUNCTION autonomous_session_cancel(text) IS
    'cancel the command that was sent to a session, without waiting; false if there was nothing to cancel';
COMMENT ON FUNCTION autonomous_session_error(text) IS
    'message of the last error that a command of the session raised; NULL if none did';
COMMENT ON FUNCTION autonomous_session_notifications(text) IS
    'notifications on the channels that the session listens to, each once, in the order in which they came';
COMMENT ON FUNCTION autonomous_session_close(text) IS
    'close a session: what runs is cancelled, an open transaction rolled back; 08003 if there is no such session';
COMMENT ON FUNCTION autonomous_sessions() IS 'the autonomous sessions that this session has open';

CREATE FUNCTION async_exec(command text) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_exec';
CREATE FUNCTION async_exec(command text, VARIADIC args "any") RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_exec';
CREATE FUNCTION async_exec_on_commit(command text) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_exec_on_commit';
CREATE FUNCTION async_exec_on_commit(command text, VARIADIC args "any") RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_exec_on_commit';
CREATE FUNCTION async_run(task bigint, command text) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_run';
CREATE FUNCTION async_run(task bigint, command text, VARIADIC args "any") RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_run';
CREATE FUNCTION async_wait(task bigint, timeout interval DEFAULT NULL) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_wait';
CREATE FUNCTION async_wait_any(tasks bigint[], timeout interval DEFAULT NULL) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_wait_any';
CREATE FUNCTION async_result(task bigint) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_result';
CREATE FUNCTION async_cancel(task bigint, grace interval DEFAULT NULL) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_cancel';
CREATE FUNCTION async_detach(task bigint) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_detach';
CREATE FUNCTION async_progress(percent float8, message text DEFAULT NULL) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_progress';

COMMENT ON FUNCTION async_exec(text) IS
    'have SQL run as a task, in a transaction of its own, without waiting for it; its id, which is unique in the cluster';
COMMENT ON FUNCTION async_exec(text, "any") IS
    'have SQL with parameters $1... run as a task, in a transaction of its own, without waiting for it; its id, which is unique in the cluster';
COMMENT ON FUNCTION async_exec_on_commit(text) IS
    'as async_exec, but the task starts when this transaction commits, and never if it does not';
COMMENT ON FUNCTION async_exec_on_commit(text, "any") IS
    'as async_exec, but the task starts when this transaction commits, and never if it does not';
COMMENT ON FUNCTION async_run(bigint, text) IS
    'as async_exec, in the process that runs, or has run, that task; 55000 if it has gone';
COMMENT ON FUNCTION async_run(bigint, text, "any") IS
    'as async_exec, in the process that runs, or has run, that task; 55000 if it has gone';
COMMENT ON FUNCTION async_wait(bigint, interval) IS
    'wait for the end of a task; false if the time has passed before (NULL: wait for as long as it takes); 42704 if there is no such task';
COMMENT ON FUNCTION async_wait_any(bigint[], interval) IS
    'wait for the end of any of these tasks, and return its id; NULL if the time has passed before';
COMMENT ON FUNCTION async_result(bigint) IS
    'wait for the end of a task and return the rows of its last statement that has any, assigned to the column definition list (42804 if they do not fit); raises the task''s error';
COMMENT ON FUNCTION async_cancel(bigint, interval) IS
    'cancel a task: it will not commit; false if it has ended already; with a grace, end its worker if it has not ended by then';
COMMENT ON FUNCTION async_detach(bigint) IS
    'forget a task: at once if it has ended, else when it ends; its result is not kept';
COMMENT ON FUNCTION async_progress(float8, text) IS
    'tell aside.tasks how far the task is that this command is part of, from 0 to 100; NULL leaves that open; without effect outside of a task';

CREATE FUNCTION aside.task_result_tags(task bigint) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_task_result_tags';
COMMENT ON FUNCTION aside.task_result_tags(bigint) IS
    'for aside_pg_background: async_result; where no statement has rows, the tag of each as a row of text';

CREATE FUNCTION aside.session_query_text(session text, command text) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_session_query_text';
COMMENT ON FUNCTION aside.session_query_text(text, text) IS
    'for aside_dblink: the last result of a command in a session, its columns read as text by their types; the tag of one without rows';
CREATE FUNCTION aside.session_result_text(session text) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_session_result_text';
COMMENT ON FUNCTION aside.session_result_text(text) IS
    'for aside_dblink: autonomous_session_result, its columns read as text by their types; the tag of a statement without rows';

CREATE FUNCTION aside.plpgsql_call() RETURNS language_handler
LANGUAGE c AS 'MODULE_PATHNAME', 'aside_plpgsql_call';
COMMENT ON FUNCTION aside.plpgsql_call() IS 'handler of LANGUAGE plpgsql_autonomous';
CREATE FUNCTION aside.plpgsql_inline(internal) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'aside_plpgsql_inline';
COMMENT ON FUNCTION aside.plpgsql_inline(internal) IS 'DO blocks of LANGUAGE plpgsql_autonomous';
CREATE FUNCTION aside.plpgsql_validate(oid) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'aside_plpgsql_validate';
COMMENT ON FUNCTION aside.plpgsql_validate(oid) IS 'validator of LANGUAGE plpgsql_autonomous';

CREATE TRUSTED LANGUAGE plpgsql_autonomous
    HANDLER aside.plpgsql_call INLINE aside.plpgsql_inline VALIDATOR aside.plpgsql_validate;
COMMENT ON LANGUAGE plpgsql_autonomous IS 'PL/pgSQL routines whose whole execution is an autonomous transaction';
REVOKE ALL ON LANGUAGE plpgsql_autonomous FROM PUBLIC;
GRANT USAGE ON LANGUAGE plpgsql_autonomous TO aside_user;

CREATE FUNCTION aside.worker_rows(OUT slot int, OUT pid int, OUT state text, OUT database name, OUT username name,
    OUT caller_pid int, OUT depth int, OUT xid bigint, OUT calls bigint, OUT errors bigint,
    OUT started timestamptz, OUT last_used timestamptz, OUT generation bigint) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_workers';
COMMENT ON FUNCTION aside.worker_rows() IS 'rows of the view aside.workers';

CREATE FUNCTION aside.stat_rows(OUT kind text, OUT calls bigint, OUT errors bigint, OUT cancelled bigint, OUT rows bigint,
    OUT waits bigint, OUT wait_ms float8, OUT total_ms float8, OUT histogram bigint[]) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_stat';
COMMENT ON FUNCTION aside.stat_rows() IS 'rows of the view aside.stat';

CREATE FUNCTION aside.task_rows(OUT id bigint, OUT state text, OUT owner name, OUT database name, OUT command text,
    OUT label text, OUT submitted timestamptz, OUT started timestamptz, OUT finished timestamptz, OUT rows bigint,
    OUT sqlstate text, OUT message text, OUT progress float8, OUT progress_message text, OUT pid int, OUT submitter int,
    OUT bytes bigint, OUT detached boolean) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_tasks';
COMMENT ON FUNCTION aside.task_rows() IS 'rows of the view aside.tasks';

CREATE VIEW aside.tasks AS
    SELECT id, state, owner, database, command, label, started, finished, rows, sqlstate, message, progress,
        progress_message, submitted, pid, submitter, bytes, detached
    FROM aside.task_rows();
COMMENT ON VIEW aside.tasks IS
    'tasks of roles that the user may act for: pending (until the commit), queued, running, done, failed, cancelled, lost (the server was restarted meanwhile)';

CREATE FUNCTION aside.is_preloaded() RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_is_preloaded';
COMMENT ON FUNCTION aside.is_preloaded() IS 'is pg_aside in shared_preload_libraries of the running server?';

CREATE FUNCTION aside.settings_check(OUT setting text, OUT value text, OUT problem text, OUT advice text)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT 'shared_preload_libraries'::text, pg_catalog.current_setting('shared_preload_libraries', true),
        'pg_aside is not preloaded: each session has workers of its own, and its tasks end with it'::text,
        'Add pg_aside to shared_preload_libraries and restart the server.'::text
    WHERE NOT aside.is_preloaded()
    UNION ALL
    SELECT 'max_worker_processes', pg_catalog.current_setting('max_worker_processes'),
        pg_catalog.format('pg_aside may start %s workers, parallel query %s and logical replication %s, but the server has %s places for all of them',
            w.ours, w.parallel, w.logical, w.places),
        pg_catalog.format('Set max_worker_processes to at least %s and restart the server, or lower aside.max_workers.',
            w.ours + w.parallel + w.logical)
    FROM (SELECT pg_catalog.current_setting('aside.max_workers')::int AS ours,
                 pg_catalog.current_setting('max_parallel_workers')::int AS parallel,
                 pg_catalog.current_setting('max_logical_replication_workers')::int AS logical,
                 pg_catalog.current_setting('max_worker_processes')::int AS places) AS w
    WHERE w.places < w.ours + w.parallel + w.logical
    UNION ALL
    SELECT 'aside.min_workers', pg_catalog.current_setting('aside.min_workers'),
        'more workers are kept for one database and user than there are in all',
        'Lower aside.min_workers, or raise aside.max_workers.'
    WHERE pg_catalog.current_setting('aside.min_workers')::int > pg_catalog.current_setting('aside.max_workers')::int;
END;
COMMENT ON FUNCTION aside.settings_check() IS
    'what is configured so that pg_aside cannot do all that it promises, and what to set; no rows: nothing';

CREATE VIEW aside.workers AS SELECT * FROM aside.worker_rows();
COMMENT ON VIEW aside.workers IS 'workers of the pool that this session uses: who they work for, and how much';
CREATE VIEW aside.stat AS SELECT * FROM aside.stat_rows();
COMMENT ON VIEW aside.stat IS
    'calls by kind since the pool was made; bucket i of the histogram, from 1, counts calls that took under 2^(i-1) microseconds';

REVOKE ALL ON FUNCTION
    autonomous_exec(text), autonomous_exec(text, "any"),
    autonomous_query(text), autonomous_query(text, "any"),
    autonomous_query_as(anyelement, text), autonomous_query_as(anyelement, text, "any"),
    autonomous_json(text), autonomous_json(text, "any"),
    autonomous_session_open(text, name),
    autonomous_session_exec(text, text), autonomous_session_exec(text, text, "any"),
    autonomous_session_query(text, text), autonomous_session_query(text, text, "any"),
    autonomous_session_send(text, text), autonomous_session_send(text, text, "any"),
    autonomous_session_is_busy(text), autonomous_session_result(text), autonomous_session_cancel(text),
    autonomous_session_error(text), autonomous_session_notifications(text), autonomous_session_close(text),
    async_exec(text), async_exec(text, "any"), async_exec_on_commit(text), async_exec_on_commit(text, "any"),
    async_run(bigint, text), async_run(bigint, text, "any"),
    async_wait(bigint, interval), async_wait_any(bigint[], interval), async_result(bigint),
    async_cancel(bigint, interval), async_detach(bigint), async_progress(float8, text),
    aside.task_result_tags(bigint), aside.task_rows(), aside.is_preloaded(), aside.settings_check(),
    autonomous_sessions(), aside.session_query_text(text, text), aside.session_result_text(text),
    aside.plpgsql_call(), aside.plpgsql_inline(internal), aside.plpgsql_validate(oid),
    aside.worker_rows(), aside.stat_rows()
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    autonomous_exec(text), autonomous_exec(text, "any"),
    autonomous_query(text), autonomous_query(text, "any"),
    autonomous_query_as(anyelement, text), autonomous_query_as(anyelement, text, "any"),
    autonomous_json(text), autonomous_json(text, "any"),
    autonomous_session_open(text, name),
    autonomous_session_exec(text, text), autonomous_session_exec(text, text, "any"),
    autonomous_session_query(text, text), autonomous_session_query(text, text, "any"),
    autonomous_session_send(text, text), autonomous_session_send(text, text, "any"),
    autonomous_session_is_busy(text), autonomous_session_result(text), autonomous_session_cancel(text),
    autonomous_session_error(text), autonomous_session_notifications(text), autonomous_session_close(text),
    async_exec(text), async_exec(text, "any"), async_exec_on_commit(text), async_exec_on_commit(text, "any"),
    async_run(bigint, text), async_run(bigint, text, "any"),
    async_wait(bigint, interval), async_wait_any(bigint[], interval), async_result(bigint),
    async_cancel(bigint, interval), async_detach(bigint), async_progress(float8, text),
    aside.task_result_tags(bigint), aside.task_rows(), aside.is_preloaded(), aside.settings_check(),
    autonomous_sessions(), aside.session_query_text(text, text), aside.session_result_text(text),
    aside.worker_rows(), aside.stat_rows()
TO aside_user;
GRANT USAGE ON SCHEMA aside TO aside_user;
GRANT SELECT ON aside.workers, aside.stat, aside.tasks TO aside_user;
