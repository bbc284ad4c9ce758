/*
 * compat/background.c
 *	  The functions of aside_pg_background that SQL cannot express: which task
 *	  a PID of this session stands for, how that task ended, and functions
 *	  that return whatever columns their caller expects.
 *
 * sql/compat/aside_pg_background--*.sql declares them.
 */
#include "compat/background.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(aside_background_launch);
PG_FUNCTION_INFO_V1(aside_background_run);
PG_FUNCTION_INFO_V1(aside_background_result);
PG_FUNCTION_INFO_V1(aside_background_detach);
PG_FUNCTION_INFO_V1(aside_background_task_of);
PG_FUNCTION_INFO_V1(aside_background_handles);
PG_FUNCTION_INFO_V1(aside_background_counts);
PG_FUNCTION_INFO_V1(aside_background_end);
PG_FUNCTION_INFO_V1(aside_background_sql);
PG_FUNCTION_INFO_V1(aside_background_timed_out);
PG_FUNCTION_INFO_V1(aside_background_settings);

/* sql/task.c */
extern Datum aside_async_exec(PG_FUNCTION_ARGS);
extern Datum aside_async_run(PG_FUNCTION_ARGS);
extern Datum aside_task_result_tags(PG_FUNCTION_ARGS);

static bool
wait_for(int64 task, int64 timeout_us)
{
	AsideRequest request = {.kind = ASIDE_KIND_TASK, .command = aside_text_bytes("wait for task")};
	int64		ended = 0;
	aside_call	call;

	aside_fill_call(&request, &call);
	if (aside_task_wait(aside_background_pool()->handle, aside_get_caller_host(), &call, &task, 1,
						timeout_us, &ended) != ASIDE_OK)
		aside_throw_kept();
	return ended != 0;
}

/* PID of the task's worker, once it has one; 0: it has to wait for a worker, or will never have one. */
static int32
pid_of(int64 task)
{
	aside_task_row row;
	int64		pid = 0;

	for (int waited_ms = 0; aside_find_handled_task(task, &row); waited_ms++)
	{
		pid = aside_handle_pid(row.pid, row.started != 0, row.finished != 0, waited_ms, aside_checkout_timeout);
		if (pid >= 0)
			return pid;
		(void) wait_for(task, 1000);
	}
	return 0;
}

static void
check_limit(void)
{
	aside_define_background_settings();
	if (aside_background_max_workers > 0 && aside_running_handles() >= aside_background_max_workers)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("too many background workers in this session"),
				 errdetail("The limit is %d.", aside_background_max_workers),
				 errhint("Wait for a command to end, or consider increasing \"pg_background.max_workers\".")));
}

/* aside.background_launch(sql text, queue_size int, label text, has_cookie boolean, discard boolean, OUT pid int, OUT cookie bigint) */
Datum
aside_background_launch(PG_FUNCTION_ARGS)
{
	char	   *label = aside_task_label;
	int			timeout = aside_task_timeout;
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
	aside_sweep_handles();
	check_limit();
	PG_TRY();
	{
		if (aside_background_timeout > 0)
			aside_task_timeout = aside_background_timeout;
		if (!PG_ARGISNULL(2))
			aside_task_label = text_to_cstring(PG_GETARG_TEXT_PP(2));
		task = DatumGetInt64(DirectFunctionCall1(aside_async_exec, PG_GETARG_DATUM(0)));
	}
	PG_FINALLY();
	{
		aside_task_label = label;
		aside_task_timeout = timeout;
	}
	PG_END_TRY();
	handle = aside_add_handle(aside_handle_number(task), task, PG_GETARG_DATUM(0));
	handle->queue_size = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT32(1);
	if (handle->queue_size == 0)
		handle->queue_size = aside_background_queue_size;
	handle->discard = PG_GETARG_BOOL(4);
	pid = pid_of(task);
	if (pid != 0)
	{
		while ((older = aside_handle_by_pid(pid, true)) != NULL && older->consumed)
			aside_forget_handle(older);
		if (aside_handle_takes_pid(has_cookie, older != NULL))
			handle->pid = pid;
	}
	if (handle->discard &&
		aside_task_detach(aside_background_pool()->handle, aside_get_caller_host(), task) != ASIDE_OK)
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
	Handle	   *before = aside_handle_by_pid(pid, true);
	aside_task_row row;
	int64		task;

	if (before == NULL)
		aside_refuse_pid(pid);
	if (!aside_find_handled_task(before->task, &row))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the worker with PID %d has gone", pid),
				 errhint("Start the command in any worker with pg_background_launch.")));
	task = DatumGetInt64(DirectFunctionCall2(aside_async_run, Int64GetDatum(before->task), PG_GETARG_DATUM(1)));
	if (before->consumed)
		aside_forget_handle(before);
	(void) aside_add_handle(pid, task, PG_GETARG_DATUM(1));
	PG_RETURN_INT32(pid);
}

/* pg_background_result(pid int [, cookie bigint]) returns setof record */
Datum
aside_background_result(PG_FUNCTION_ARGS)
{
	Handle	   *handle = aside_need_handle(fcinfo);
	int64		task = handle->task;
	aside_task_row row;
	bool		exists;

	/* What cannot return rows leaves them to be read. */
	(void) aside_wanted_columns(fcinfo);
	if (handle->discard)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("results are disabled for PID %d (submitted via submit_v2)", handle->pid)));
	/* A caller that is cancelled while it waits may call again. */
	(void) wait_for(task, -1);
	handle->consumed = true;
	fcinfo->args[0].value = Int64GetDatum(task);
	(void) aside_task_result_tags(fcinfo);
	exists = aside_settle_handle(handle, &row);
	if (!aside_handle_lasts(handle->pid, exists, exists ? row.bytes : 0))
		aside_forget_handle(handle);
	return (Datum) 0;
}

/* pg_background_detach(pid int [, cookie bigint]) */
Datum
aside_background_detach(PG_FUNCTION_ARGS)
{
	Handle	   *handle = aside_need_handle(fcinfo);
	int32		pid = handle->pid;

	aside_forget_handle(handle);
	/* Without a cookie, all that runs or ran there. */
	while (PG_NARGS() < 2 && (handle = aside_handle_by_pid(pid, true)) != NULL)
		aside_forget_handle(handle);
	PG_RETURN_VOID();
}

/* aside.background_task(pid int, cookie bigint, missing_ok boolean) returns bigint: the task, or NULL if it has ended and is no more */
Datum
aside_background_task_of(PG_FUNCTION_ARGS)
{
	int64		cookie = PG_GETARG_INT64(1);
	Handle	   *handle = aside_find_handle(PG_GETARG_INT32(0), &cookie);
	aside_task_row row;

	if (handle == NULL && PG_GETARG_BOOL(2))
		PG_RETURN_NULL();
	if (handle == NULL)
		handle = aside_need_handle(fcinfo);

	if (!aside_settle_handle(handle, &row))
		PG_RETURN_NULL();
	PG_RETURN_INT64(handle->task);
}

/* aside.background_handles(OUT pid int, OUT cookie bigint, OUT queue_size int) returns setof record */
Datum
aside_background_handles(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *cell;

	(void) aside_background_pool();
	aside_begin_rows(fcinfo);
	foreach(cell, aside_handles)
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

/* aside.background_stats(OUT launched, completed, failed, cancelled, timed_out, active bigint, OUT total_ms float8) */
Datum
aside_background_counts(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[7];
	bool		nulls[lengthof(values)] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	(void) aside_background_pool();
	values[5] = Int64GetDatum(aside_running_handles());
	values[0] = Int64GetDatum(aside_background_counters.launched);
	values[1] = Int64GetDatum(aside_background_counters.completed);
	values[2] = Int64GetDatum(aside_background_counters.failed);
	values[3] = Int64GetDatum(aside_background_counters.cancelled);
	values[4] = Int64GetDatum(aside_background_counters.timed_out);
	values[6] = Float8GetDatum(aside_background_counters.total_ms);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

#define END_COLUMNS 15

static void
put_text(Datum *values, bool *nulls, int i, const char *text)
{
	nulls[i] = text == NULL;
	if (text != NULL)
		values[i] = CStringGetTextDatum(text);
}

/* The last tag of a task, or all of its error, from its result, which is not read by this. */
static void
peek(int64 task, Datum *values, bool *nulls)
{
	AsideRequest request = {.kind = ASIDE_KIND_TASK, .command = aside_text_bytes("look at result of task")};
	AsideRows	rows = {.context = CurrentMemoryContext, .peek = true};
	aside_status status;
	aside_call	call;

	aside_fill_call(&request, &call);
	aside_rows = &rows;
	status = aside_task_result(aside_background_pool()->handle, aside_get_caller_host(), &call, task, true);
	aside_rows = NULL;
	if (status == ASIDE_OK)
		put_text(values, nulls, 1, rows.tags == NIL ? NULL : llast(rows.tags));
	else
	{
		ErrorData  *edata = aside_kept_error();

		/* This process's own errors have a text domain. */
		if (edata == NULL || edata->domain != NULL)
			aside_throw_kept();
		put_text(values, nulls, 6, unpack_sql_state(edata->sqlerrcode));
		put_text(values, nulls, 7, edata->message);
		put_text(values, nulls, 8, edata->detail);
		put_text(values, nulls, 9, edata->hint);
		put_text(values, nulls, 10, edata->context);
		put_text(values, nulls, 11, edata->schema_name);
		put_text(values, nulls, 12, edata->table_name);
		put_text(values, nulls, 13, edata->column_name);
		put_text(values, nulls, 14, edata->constraint_name);
	}
}

/*
 * aside.background_end(pid int, cookie bigint, OUT row_count bigint, OUT command_tag text, OUT completed, has_error boolean,
 * OUT started_at, finished_at timestamptz, OUT sqlstate, message, detail, hint, context, schema_name, table_name,
 * column_name, constraint_name text) returns record: how a task has ended, as far as that is known
 */
Datum
aside_background_end(PG_FUNCTION_ARGS)
{
	Handle	   *handle = aside_need_handle(fcinfo);
	aside_task_row row;
	TupleDesc	desc;
	Datum		values[END_COLUMNS] = {0};
	bool		nulls[END_COLUMNS];

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	memset(nulls, true, sizeof(nulls));
	nulls[2] = false;
	values[2] = BoolGetDatum(true);
	if (aside_settle_handle(handle, &row))
	{
		bool		ended = row.finished != 0;

		values[2] = BoolGetDatum(ended);
		nulls[3] = false;
		values[3] = BoolGetDatum(ended && row.state != ASIDE_TASK_DONE);
		nulls[4] = row.started == 0;
		values[4] = TimestampTzGetDatum(row.started);
		nulls[5] = !ended;
		values[5] = TimestampTzGetDatum(row.finished);
		nulls[0] = !ended || row.state != ASIDE_TASK_DONE;
		values[0] = Int64GetDatum(row.rows);
		if (ended && !handle->discard)
			peek(handle->task, values, nulls);
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* aside.background_sql(pid int, cookie bigint) returns text: of its first 64 kB, with a mark if there is more */
Datum
aside_background_sql(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(aside_need_handle(fcinfo)->sql));
}

/* aside.background_timed_out(): count one that was cancelled for that */
Datum
aside_background_timed_out(PG_FUNCTION_ARGS)
{
	aside_background_counters.timed_out++;
	PG_RETURN_VOID();
}

/* aside.background_settings(): pg_background's settings are there */
Datum
aside_background_settings(PG_FUNCTION_ARGS)
{
	aside_define_background_settings();
	PG_RETURN_VOID();
}
