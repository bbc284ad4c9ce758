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
    'Submits SQL as a task, which runs in a transaction of its own, and does not wait for its end. Returns the task''s id, which is unique in the cluster.';
COMMENT ON FUNCTION async_exec(text, "any") IS
    'Submits SQL with parameters $1... as a task, which runs in a transaction of its own, and does not wait for its end. Returns the task''s id, which is unique in the cluster.';
COMMENT ON FUNCTION async_exec_on_commit(text) IS
    'Does what async_exec does, but the task starts when the current transaction commits. If the transaction does not commit, the task never starts.';
COMMENT ON FUNCTION async_exec_on_commit(text, "any") IS
    'Does what async_exec does, but the task starts when the current transaction commits. If the transaction does not commit, the task never starts.';
COMMENT ON FUNCTION async_run(bigint, text) IS
    'Does what async_exec does, in the process that runs, or last ran, the given task. Raises 55000 if that process has ended.';
COMMENT ON FUNCTION async_run(bigint, text, "any") IS
    'Does what async_exec does, in the process that runs, or last ran, the given task. Raises 55000 if that process has ended.';
COMMENT ON FUNCTION async_wait(bigint, interval) IS
    'Waits for the end of a task. Returns false if the timeout passes first; a NULL timeout never passes. Raises 42704 if there is no such task.';
COMMENT ON FUNCTION async_wait_any(bigint[], interval) IS
    'Waits until one of these tasks has ended, and returns its id. Returns NULL if the timeout passes first; a NULL timeout never passes.';
COMMENT ON FUNCTION async_result(bigint) IS
    'Waits for the end of a task. Returns the rows of the last statement that returned rows, assigned to the column definition list. Raises the task''s error; rows that do not fit raise 42804.';
COMMENT ON FUNCTION async_cancel(bigint, interval) IS
    'Cancels a task, which then does not commit. Returns false if the task had already ended. With a grace period, ends the task''s worker if the task has not ended when the period is over.';
COMMENT ON FUNCTION async_detach(bigint) IS
    'Forgets a task and its result: at once if the task has ended, else when it ends.';
COMMENT ON FUNCTION async_progress(float8, text) IS
    'Reports the progress of the task that calls it, from 0 to 100 per cent, to the view aside.tasks. NULL means unknown. Has no effect outside of a task.';

CREATE FUNCTION aside.task_result_tags(task bigint) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_task_result_tags';
COMMENT ON FUNCTION aside.task_result_tags(bigint) IS
    'For aside_pg_background: does what async_result does. If no statement returned rows, returns the command tag of each as a row of text.';

CREATE FUNCTION aside.task_rows(OUT id bigint, OUT state text, OUT owner name, OUT database name, OUT command text,
    OUT label text, OUT submitted timestamptz, OUT started timestamptz, OUT finished timestamptz, OUT rows bigint,
    OUT sqlstate text, OUT message text, OUT progress float8, OUT progress_message text, OUT pid int, OUT submitter int,
    OUT bytes bigint, OUT detached boolean) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_tasks';
COMMENT ON FUNCTION aside.task_rows() IS 'Returns the rows of the view aside.tasks.';

CREATE FUNCTION aside.task_counts(OUT state text, OUT tasks bigint, OUT since timestamptz) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 8 AS 'MODULE_PATHNAME', 'aside_task_counts_rows';
COMMENT ON FUNCTION aside.task_counts() IS
    'Returns how many tasks are in each state, those of all roles and databases, and when the oldest queued task was submitted.';

CREATE VIEW aside.tasks AS
    SELECT id, state, owner, database, command, label, started, finished, rows, sqlstate, message, progress,
        progress_message, submitted, pid, submitter, bytes, detached
    FROM aside.task_rows();
COMMENT ON VIEW aside.tasks IS
    'Tasks of the roles that the user may act for. State: pending (until the commit), queued, running, done, failed, cancelled, or lost (the server was restarted meanwhile).';
COMMENT ON COLUMN aside.tasks.id IS 'Number of the task, as async_exec returned it.';
COMMENT ON COLUMN aside.tasks.state IS 'Pending, queued, running, done, failed, cancelled, or lost.';
COMMENT ON COLUMN aside.tasks.owner IS 'Role that the task runs as, and that may read its result.';
COMMENT ON COLUMN aside.tasks.database IS 'Database that the task runs in.';
COMMENT ON COLUMN aside.tasks.command IS 'The first 512 bytes of the command.';
COMMENT ON COLUMN aside.tasks.label IS 'The label that aside.task_label gave the task.';
COMMENT ON COLUMN aside.tasks.started IS 'Time when a worker began the task.';
COMMENT ON COLUMN aside.tasks.finished IS 'Time when the task ended.';
COMMENT ON COLUMN aside.tasks.rows IS 'Rows that the last statement processed.';
COMMENT ON COLUMN aside.tasks.sqlstate IS 'SQLSTATE of the error that ended the task.';
COMMENT ON COLUMN aside.tasks.message IS 'Message of the error that ended the task.';
COMMENT ON COLUMN aside.tasks.progress IS 'What the task said last of its progress, in percent, by async_progress.';
COMMENT ON COLUMN aside.tasks.progress_message IS 'The message that the task gave with its progress.';
COMMENT ON COLUMN aside.tasks.submitted IS 'Time when the task was submitted.';
COMMENT ON COLUMN aside.tasks.pid IS 'Process that runs the task now.';
COMMENT ON COLUMN aside.tasks.submitter IS 'Process that submitted the task.';
COMMENT ON COLUMN aside.tasks.bytes IS 'Size of the result, in bytes.';
COMMENT ON COLUMN aside.tasks.detached IS 'True if nobody will read the result.';

GRANT EXECUTE ON FUNCTION
    async_exec(text), async_exec(text, "any"),
    async_exec_on_commit(text), async_exec_on_commit(text, "any"),
    async_run(bigint, text), async_run(bigint, text, "any"),
    async_wait(bigint, interval), async_wait_any(bigint[], interval), async_result(bigint),
    async_cancel(bigint, interval), async_detach(bigint), async_progress(float8, text),
    aside.task_result_tags(bigint), aside.task_rows(), aside.task_counts()
TO aside_user;
GRANT SELECT ON aside.tasks TO aside_user;
