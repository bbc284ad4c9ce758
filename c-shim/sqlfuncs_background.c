/*
 * sqlfuncs_background.c
 *	  What SQL cannot say of aside_pg_background: which task a PID of this
 *	  session stands for, and functions that return whatever columns their
 *	  caller expects.
 *
 * Declared by sql/compat/aside_pg_background--*.sql.  A handle is the PID of the
 * worker that runs a task, and the task's id, which is the cookie of the _v2
 * functions.  Workers are used again: where another task of this session is
 * still known by that PID alone, a number is given that is no PID.  As in
 * pg_background handles are the session's own, whatever becomes of the
 * transaction that made them, and a result can be read once.
 */
#include "aside.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(aside_background_launch);
PG_FUNCTION_INFO_V1(aside_background_run);
PG_FUNCTION_INFO_V1(aside_background_result);
PG_FUNCTION_INFO_V1(aside_background_detach);
PG_FUNCTION_INFO_V1(aside_background_task);
PG_FUNCTION_INFO_V1(aside_background_handles);
PG_FUNCTION_INFO_V1(aside_background_stats);

/* sqlfuncs_task.c */
extern Datum aside_async_exec(PG_FUNCTION_ARGS);
extern Datum aside_async_run(PG_FUNCTION_ARGS);
extern Datum aside_task_result_tags(PG_FUNCTION_ARGS);

/* What aside_task_row says of a state; what comes after DONE has ended badly. */
enum
{
	STATE_DONE = 6,
	STATE_CANCELLED = 8,
};

/* No system has PIDs from here on. */
#define FIRST_NUMBER 1000000000
/* A task that was read is kept, so that pg_background_run finds its worker; not if its result is longer. */
#define KEPT_BYTES (64 * 1024)
#define FIRST_SWEEP 64

typedef struct Handle
{
	int32		pid;
	int64		task;
	int32		queue_size;		/* as asked for; nothing waits for a queue here */
	bool		discard;		/* nobody will read its result */
	bool		consumed;		/* only pg_background_run knows it any more */
	bool		counted;
} Handle;

static List *handles = NIL;		/* the oldest first */
static int	sweep_at = FIRST_SWEEP;
static struct
{
	int64		launched,
				completed,
				failed,
				cancelled;
	double		total_ms;
}			counters;

/* Handles are the session's: no index function of somebody's looks at them. */
static AsidePool *
pool_with_tasks(void)
{
	AsidePool  *pool = aside_caller_pool(true);

	if (InSecurityRestrictedOperation())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot use a task within a security-restricted operation")));
	(void) aside_find_tasks(pool, true);
	return pool;
}

static bool
find_task(int64 task, aside_task_row *row)
{
	aside_status status = aside_find_task(pool_with_tasks()->handle, aside_get_caller_host(), task, row);

	if (status == ASIDE_SAVED)
		aside_throw_kept();
	return status == ASIDE_OK;
}

/* Count a task once it has ended; false: it is no more. */
static bool
settle(Handle *handle, aside_task_row *row)
{
	if (!find_task(handle->task, row))
		return false;
	if (row->finished != 0 && !handle->counted)
	{
		handle->counted = true;
		counters.completed += row->state == STATE_DONE;
		counters.cancelled += row->state == STATE_CANCELLED;
		counters.failed += row->state != STATE_DONE && row->state != STATE_CANCELLED;
		if (row->started != 0)
			counters.total_ms += (row->finished - row->started) / 1000.0;
	}
	return true;
}

static void
forget(Handle *handle)
{
	aside_task_row row;

	handles = list_delete_ptr(handles, handle);
	if (settle(handle, &row) && !handle->discard)
		(void) aside_task_detach(pool_with_tasks()->handle, aside_get_caller_host(), handle->task);
	pfree(handle);
}

/* Forget what nobody will ask for, now and then: consumed handles, and discarded ones whose task is no more. */
static void
sweep(void)
{
	aside_task_row row;
	ListCell   *cell;

	if (list_length(handles) < sweep_at)
		return;
	foreach(cell, list_copy(handles))
	{
		Handle	   *handle = lfirst(cell);

		if (handle->consumed || (handle->discard && !settle(handle, &row)))
			forget(handle);
	}
	sweep_at = Max(FIRST_SWEEP, 2 * list_length(handles));
}

static Handle *
by_pid(int32 pid, bool consumed_too)
{
	ListCell   *cell;

	foreach(cell, handles)
	{
		Handle	   *handle = lfirst(cell);

		if (handle->pid == pid && (consumed_too || !handle->consumed))
			return handle;
	}
	return NULL;
}

static void
refuse_pid(int32 pid)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("PID %d is not attached to this session", pid)));
}

/* The handle of argument 0, the PID, and of argument 1, if there is one, the cookie. */
static Handle *
handle_of(FunctionCallInfo fcinfo, bool to_read)
{
	int32		pid = PG_GETARG_INT32(0);
	ListCell   *cell;

	(void) pool_with_tasks();
	if (by_pid(pid, false) == NULL)
		refuse_pid(pid);
	if (PG_NARGS() < 2)
		return by_pid(pid, false);
	foreach(cell, handles)
	{
		Handle	   *handle = lfirst(cell);

		if (handle->pid == pid && handle->task == PG_GETARG_INT64(1) && !handle->consumed)
			return handle;
	}
	if (to_read)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("PID %d is not attached to this session (cookie mismatch)", pid)));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cookie mismatch for PID %d", pid),
			 errhint("The worker may have been restarted or the handle is stale.")));
}

static bool
wait_for(int64 task, int64 timeout_us)
{
	AsideRequest request = {.kind = ASIDE_KIND_TASK, .command = aside_text_bytes("wait for task")};
	int64		ended = 0;
	aside_call	call;

	aside_fill_call(&request, &call);
	if (aside_task_wait(pool_with_tasks()->handle, aside_get_caller_host(), &call, &task, 1,
						timeout_us, &ended) != ASIDE_OK)
		aside_throw_kept();
	return ended != 0;
}

/* PID of the task's worker, once it has one; 0: it has to wait for a worker, or will never have one. */
static int32
pid_of(int64 task)
{
	aside_task_row row;

	for (int waited_ms = 0; waited_ms < aside_checkout_timeout; waited_ms++)
	{
		if (!find_task(task, &row))
			return 0;
		if (row.pid != 0)
			return row.pid;
		/* What is queued may be so for long; what is not has a process that is starting. */
		if (row.finished != 0 || (row.started == 0 && waited_ms >= 100))
			return 0;
		(void) wait_for(task, 1000);
	}
	return 0;
}

static Handle *
add_handle(int32 pid, int64 task)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	Handle	   *handle = palloc0(sizeof(Handle));

	handle->pid = pid;
	handle->task = task;
	handles = lappend(handles, handle);
	MemoryContextSwitchTo(old);
	counters.launched++;
	return handle;
}

/* aside.background_launch(sql text, queue_size int, label text, has_cookie boolean, discard boolean, OUT pid int, OUT cookie bigint) */
Datum
aside_background_launch(PG_FUNCTION_ARGS)
{
	char	   *label = aside_task_label;
	bool		has_cookie = PG_GETARG_BOOL(3);
	Handle	   *handle;
	Handle	   *older;
	TupleDesc	desc;
	volatile int64 task = 0;
	int32		pid;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("sql parameter cannot be NULL")));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	sweep();
	PG_TRY();
	{
		if (!PG_ARGISNULL(2))
			aside_task_label = text_to_cstring(PG_GETARG_TEXT_PP(2));
		task = DatumGetInt64(DirectFunctionCall1(aside_async_exec, PG_GETARG_DATUM(0)));
	}
	PG_FINALLY();
	{
		aside_task_label = label;
	}
	PG_END_TRY();
	handle = add_handle(FIRST_NUMBER + task % FIRST_NUMBER, task);
	handle->queue_size = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT32(1);
	handle->discard = PG_GETARG_BOOL(4);
	pid = pid_of(task);
	if (pid != 0)
	{
		while ((older = by_pid(pid, true)) != NULL && older->consumed)
			forget(older);
		if (has_cookie || older == NULL)
			handle->pid = pid;
	}
	if (handle->discard &&
		aside_task_detach(pool_with_tasks()->handle, aside_get_caller_host(), task) != ASIDE_OK)
		aside_throw_kept();
	values[0] = Int32GetDatum(handle->pid);
	values[1] = Int64GetDatum(task);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* pg_background_run(pid int, query text) returns int */
Datum
aside_background_run(PG_FUNCTION_ARGS)
{
	int32		pid = PG_GETARG_INT32(0);
	Handle	   *before = by_pid(pid, true);
	aside_task_row row;
	int64		task;

	if (before == NULL)
		refuse_pid(pid);
	if (!find_task(before->task, &row))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the worker with PID %d has gone", pid),
				 errhint("Start the command in any worker with pg_background_launch.")));
	task = DatumGetInt64(DirectFunctionCall2(aside_async_run, Int64GetDatum(before->task), PG_GETARG_DATUM(1)));
	if (before->consumed)
		forget(before);
	(void) add_handle(pid, task);
	PG_RETURN_INT32(pid);
}

/* pg_background_result(pid int [, cookie bigint]) returns setof record */
Datum
aside_background_result(PG_FUNCTION_ARGS)
{
	Handle	   *handle = handle_of(fcinfo, true);
	int64		task = handle->task;
	aside_task_row row;

	if (handle->discard)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("results are disabled for PID %d (submitted via submit_v2)", handle->pid)));
	/* Whoever is cancelled while it waits may come again. */
	(void) wait_for(task, -1);
	handle->consumed = true;
	fcinfo->args[0].value = Int64GetDatum(task);
	(void) aside_task_result_tags(fcinfo);
	if (!settle(handle, &row) || row.bytes > KEPT_BYTES || handle->pid >= FIRST_NUMBER)
		forget(handle);
	return (Datum) 0;
}

/* pg_background_detach(pid int [, cookie bigint]) */
Datum
aside_background_detach(PG_FUNCTION_ARGS)
{
	Handle	   *handle = handle_of(fcinfo, false);
	int32		pid = handle->pid;

	forget(handle);
	/* Without a cookie, all that runs or ran there. */
	while (PG_NARGS() < 2 && (handle = by_pid(pid, true)) != NULL)
		forget(handle);
	PG_RETURN_VOID();
}

/* aside.background_task(pid int, cookie bigint) returns bigint: the task, or NULL if it has ended and is no more */
Datum
aside_background_task(PG_FUNCTION_ARGS)
{
	Handle	   *handle = handle_of(fcinfo, false);
	aside_task_row row;

	if (!settle(handle, &row))
		PG_RETURN_NULL();
	PG_RETURN_INT64(handle->task);
}

/* aside.background_handles(OUT pid int, OUT cookie bigint, OUT queue_size int) returns setof record */
Datum
aside_background_handles(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *cell;

	(void) pool_with_tasks();
	aside_begin_rows(fcinfo);
	foreach(cell, handles)
	{
		Handle	   *handle = lfirst(cell);
		Datum		values[] = {Int32GetDatum(handle->pid), Int64GetDatum(handle->task),
		Int32GetDatum(handle->queue_size)};
		bool		nulls[lengthof(values)] = {false};

		if (!handle->consumed)
			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* aside.background_stats(OUT launched, completed, failed, cancelled, active bigint, OUT total_ms float8) */
Datum
aside_background_stats(PG_FUNCTION_ARGS)
{
	int64		active = 0;
	aside_task_row row;
	TupleDesc	desc;
	ListCell   *cell;
	Datum		values[6];
	bool		nulls[lengthof(values)] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	(void) pool_with_tasks();
	foreach(cell, handles)
		active += settle(lfirst(cell), &row) && row.finished == 0;
	values[0] = Int64GetDatum(counters.launched);
	values[1] = Int64GetDatum(counters.completed);
	values[2] = Int64GetDatum(counters.failed);
	values[3] = Int64GetDatum(counters.cancelled);
	values[4] = Int64GetDatum(active);
	values[5] = Float8GetDatum(counters.total_ms);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
