-- Role: tasks, which run while their submitter goes on. In C: c-shim/sql/task.c, c-shim/sql/view.c.

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

GRANT EXECUTE ON FUNCTION
    async_exec(text), async_exec(text, "any"),
    async_exec_on_commit(text), async_exec_on_commit(text, "any"),
    async_run(bigint, text), async_run(bigint, text, "any"),
    async_wait(bigint, interval), async_wait_any(bigint[], interval), async_result(bigint),
    async_cancel(bigint, interval), async_detach(bigint), async_progress(float8, text),
    aside.task_result_tags(bigint), aside.task_rows()
TO aside_user;
GRANT SELECT ON aside.tasks TO aside_user;
