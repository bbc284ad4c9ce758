/*
 * sql/task.c
 *	  The SQL functions of tasks.
 */
#include "call/call.h"
#include "tasks/tasks.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(aside_async_exec);
PG_FUNCTION_INFO_V1(aside_async_exec_on_commit);
PG_FUNCTION_INFO_V1(aside_async_run);
PG_FUNCTION_INFO_V1(aside_async_wait);
PG_FUNCTION_INFO_V1(aside_async_wait_any);
PG_FUNCTION_INFO_V1(aside_async_result);
PG_FUNCTION_INFO_V1(aside_async_cancel);
PG_FUNCTION_INFO_V1(aside_async_detach);
PG_FUNCTION_INFO_V1(aside_async_progress);
PG_FUNCTION_INFO_V1(aside_task_result_tags);
PG_FUNCTION_INFO_V1(aside_tasks);
PG_FUNCTION_INFO_V1(aside_task_counts_rows);
PG_FUNCTION_INFO_V1(aside_is_preloaded);

#define NO_ID PG_INT64_MIN

/* The pool, with tasks. */
static AsidePool *
task_pool(void)
{
	AsidePool  *pool = aside_caller_pool(true);

	(void) aside_find_tasks(pool, true);
	return pool;
}

static int64
id_argument(FunctionCallInfo fcinfo, int at)
{
	return PG_ARGISNULL(at) ? NO_ID : PG_GETARG_INT64(at);
}

/* The first bytes of a text that are whole characters. */
static aside_bytes
clip(aside_bytes text, int limit)
{
	if (text.data != NULL && text.len > limit)
		text.len = pg_mbcliplen((const char *) text.data, text.len, limit);
	return text;
}

/* Start a task whose command is argument `at`. */
static Datum
submit(FunctionCallInfo fcinfo, int at, bool on_commit, int64 after)
{
	AsidePool  *pool = task_pool();
	AsideArguments arguments;
	AsideRequest request = {
		.kind = ASIDE_KIND_TASK,
		.output = ASIDE_OUTPUT_DESCRIBED,
		.command = aside_text_argument(fcinfo, at),
		.arguments = &arguments,
	};
	aside_task_start start = {
		.label = clip(aside_text_bytes(aside_task_label == NULL ? "" : aside_task_label), ASIDE_TASK_LABEL),
		.shown = clip(request.command, ASIDE_TASK_COMMAND),
		.timeout_ms = aside_task_timeout,
		.quota = aside_max_tasks_per_role,
		.on_commit = on_commit,
		.subtransaction = on_commit ? GetCurrentSubTransactionId() : 0,
		.after = after,
	};
	aside_call	call;
	int64		id = 0;

	if (on_commit)
		aside_watch_submitter();
	aside_collect_arguments(&arguments, fcinfo, at + 1, false);
	aside_fill_call(&request, &call);
	aside_finish(aside_task_submit(pool->handle, aside_get_caller_host(), &call, &start, &id));
	PG_RETURN_INT64(id);
}

/* async_exec(command text [, VARIADIC args "any"]) returns bigint */
Datum
aside_async_exec(PG_FUNCTION_ARGS)
{
	return submit(fcinfo, 0, false, 0);
}

/* async_exec_on_commit(command text [, VARIADIC args "any"]) returns bigint */
Datum
aside_async_exec_on_commit(PG_FUNCTION_ARGS)
{
	return submit(fcinfo, 0, true, 0);
}

static void
refuse_null_task(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("task must not be null")));
}

/* async_run(task bigint, command text [, VARIADIC args "any"]) returns bigint */
Datum
aside_async_run(PG_FUNCTION_ARGS)
{
	int64		after = id_argument(fcinfo, 0);

	if (after == NO_ID)
		refuse_null_task();
	/* 0 is no task's id, but means none here. */
	return submit(fcinfo, 1, false, after == 0 ? -1 : after);
}

/* async_wait(task bigint, timeout interval) returns boolean */
Datum
aside_async_wait(PG_FUNCTION_ARGS)
{
	AsidePool  *pool = task_pool();
	int64		id = id_argument(fcinfo, 0);
	int64		ended = 0;
	aside_call	call;

	aside_plain_call(ASIDE_KIND_TASK, "wait for task", &call);
	aside_finish(aside_task_wait(pool->handle, aside_get_caller_host(), &call, &id, 1,
						   aside_patience(fcinfo, 1), &ended));
	PG_RETURN_BOOL(ended != 0);
}

/* async_wait_any(tasks bigint[], timeout interval) returns bigint */
Datum
aside_async_wait_any(PG_FUNCTION_ARGS)
{
	AsidePool  *pool = task_pool();
	ArrayType  *array;
	Datum	   *elements;
	bool	   *nulls;
	int64	   *ids;
	int			count;
	int64		ended = 0;
	aside_call	call;

	if (PG_ARGISNULL(0))
		refuse_null_task();
	array = PG_GETARG_ARRAYTYPE_P(0);
	count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	if (count > ASIDE_MOST_VALUES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many tasks to wait for"),
				 errdetail("%d were given; the limit is %d.", count, ASIDE_MOST_VALUES),
				 errhint("Wait for them in several calls.")));
	deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &elements, &nulls, &count);
	ids = palloc(sizeof(int64) * Max(count, 1));
	for (int i = 0; i < count; i++)
		ids[i] = nulls[i] ? NO_ID : DatumGetInt64(elements[i]);
	aside_plain_call(ASIDE_KIND_TASK, "wait for tasks", &call);
	aside_finish(aside_task_wait(pool->handle, aside_get_caller_host(), &call, ids, count,
						   aside_patience(fcinfo, 1), &ended));
	if (ended == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(ended);
}

/* The tags of statements without rows, one a row. */
static Datum
return_tags(FunctionCallInfo fcinfo, AsideRows *rows, TupleDesc wanted)
{
	ListCell   *cell;

	if (wanted->natts != 1 || TupleDescAttr(wanted, 0)->atttypid != TEXTOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("command did not return a result set, but result rowtype is not a single text column")));
	foreach(cell, rows->tags)
	{
		Datum		tag = CStringGetTextDatum(lfirst(cell));
		bool		null = false;

		tuplestore_putvalues(rows->store, wanted, &tag, &null);
	}
	return aside_return_rows(fcinfo, rows, wanted);
}

/* Its rows and messages would be values here; an error is shown as aside.tasks shows it. */
static void
check_database(AsidePool *pool, int64 id)
{
	aside_task_row row;

	if (aside_find_task(pool->handle, aside_get_caller_host(), id, &row) != ASIDE_OK || aside_same_encoding(row.database))
		return;
	if (row.sqlstate != 0)
		ereport(ERROR, (errcode(row.sqlstate), errmsg_internal("%s", TextDatumGetCString(aside_shown_text(row.message, row.database))),
						errcontext("task " INT64_FORMAT, id)));
	aside_refuse_encoding(row.database, "cannot read the result of a task of a database of another encoding",
						  "Read it in its own database; aside.tasks shows how the task ended.");
}

static Datum
read_result(FunctionCallInfo fcinfo, bool tags)
{
	AsidePool  *pool = task_pool();
	TupleDesc	wanted = aside_wanted_columns(fcinfo);
	AsideRows	rows;
	aside_call	call;

	aside_start_rows(fcinfo, &rows);
	rows.fresh = true;
	wanted = aside_keep_columns(&rows, wanted);
	check_database(pool, id_argument(fcinfo, 0));
	aside_plain_call(ASIDE_KIND_TASK, "read result of task", &call);
	aside_rows = &rows;
	aside_finish(aside_task_result(pool->handle, aside_get_caller_host(), &call, id_argument(fcinfo, 0), false));
	if (rows.described != NULL)
		return aside_convert_rows(fcinfo, &rows, wanted);
	return tags ? return_tags(fcinfo, &rows, wanted) : aside_return_rows(fcinfo, &rows, wanted);
}

/* async_result(task bigint) returns setof record */
Datum
aside_async_result(PG_FUNCTION_ARGS)
{
	return read_result(fcinfo, false);
}

/* aside.task_result_tags(task bigint) returns setof record: pg_background_result */
Datum
aside_task_result_tags(PG_FUNCTION_ARGS)
{
	return read_result(fcinfo, true);
}

/* async_cancel(task bigint, grace interval) returns boolean */
Datum
aside_async_cancel(PG_FUNCTION_ARGS)
{
	AsidePool  *pool = task_pool();
	bool		cancelled = false;
	aside_call	call;

	aside_refuse_if_restricted("a task");
	aside_plain_call(ASIDE_KIND_TASK, "cancel task", &call);
	aside_finish(aside_task_cancel(pool->handle, aside_get_caller_host(), &call, id_argument(fcinfo, 0),
							 aside_patience(fcinfo, 1), &cancelled));
	PG_RETURN_BOOL(cancelled);
}

/* async_detach(task bigint) */
Datum
aside_async_detach(PG_FUNCTION_ARGS)
{
	aside_refuse_if_restricted("a task");
	aside_finish(aside_task_detach(task_pool()->handle, aside_get_caller_host(), id_argument(fcinfo, 0)));
	PG_RETURN_VOID();
}

/* async_progress(percent float8, message text) */
Datum
aside_async_progress(PG_FUNCTION_ARGS)
{
	AsidePool  *pool = aside_caller_pool(false);
	double		percent = PG_ARGISNULL(0) ? NAN : PG_GETARG_FLOAT8(0);

	aside_refuse_if_restricted("a task");
	if (!isnan(percent) && (percent < 0 || percent > 100))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("progress must be between 0 and 100 percent"),
				 errdetail("It was given as %g.", percent)));
	if (pool != NULL && aside_find_tasks(pool, false))
		(void) aside_task_progress(pool->handle, aside_get_caller_host(), percent,
								   clip(aside_text_argument(fcinfo, 1), ASIDE_TASK_PROGRESS));
	PG_RETURN_VOID();
}

#define TASK_COLUMNS 18

static void
put_task(ReturnSetInfo *result, const aside_task_row *row)
{
	static const char *const states[] = {ASIDE_TASK_STATES(ASIDE_NAMED)};
	char	   *owner = GetUserNameFromId(row->owner, true);
	char	   *database = get_database_name(row->database);
	Datum		values[TASK_COLUMNS] = {0};
	bool		nulls[TASK_COLUMNS];
	int			i = 0;

#define PUT(known, value) do { nulls[i] = !(known); if (known) values[i] = (value); i++; } while (0)
	PUT(true, Int64GetDatum(row->id));
	PUT(true, CStringGetTextDatum(states[row->state % lengthof(states)]));
	PUT(owner != NULL, DirectFunctionCall1(namein, CStringGetDatum(owner)));
	PUT(database != NULL, DirectFunctionCall1(namein, CStringGetDatum(database)));
	PUT(true, aside_shown_text(row->command, row->database));
	PUT(row->label.len > 0, aside_shown_text(row->label, row->database));
	PUT(true, TimestampTzGetDatum(row->submitted));
	PUT(row->started != 0, TimestampTzGetDatum(row->started));
	PUT(row->finished != 0, TimestampTzGetDatum(row->finished));
	PUT(row->finished != 0, Int64GetDatum(row->rows));
	PUT(row->sqlstate != 0, CStringGetTextDatum(unpack_sql_state(row->sqlstate)));
	PUT(row->message.len > 0, aside_shown_text(row->message, row->database));
	PUT(row->has_progress && !isnan(row->percent), Float8GetDatum(row->percent));
	PUT(row->has_progress && row->progress.len > 0, aside_shown_text(row->progress, row->database));
	PUT(row->pid != 0, Int32GetDatum(row->pid));
	PUT(true, Int32GetDatum(row->submitter));
	PUT(row->finished != 0, Int64GetDatum(row->bytes));
	PUT(true, BoolGetDatum(row->detached != 0));
#undef PUT
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Rows of aside.tasks: those of roles that this user may act for. */
Datum
aside_tasks(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	AsidePool  *pool = aside_caller_pool(false);
	aside_task_row row;

	aside_begin_rows(fcinfo);
	if (pool == NULL || !aside_find_tasks(pool, false))
		return (Datum) 0;
	for (uint32 index = 0;; index++)
	{
		aside_status status = aside_view_task(pool->handle, aside_get_caller_host(), index, &row);

		if (status == ASIDE_LEAVE)
			break;
		if (status == ASIDE_OK)
			put_task(result, &row);
		else if (status != ASIDE_GONE)
			aside_throw_kept();
	}
	return (Datum) 0;
}

/* How many tasks are in each state, and since when the first one of the queue waits. Nothing else is told of those of others. */
Datum
aside_task_counts_rows(PG_FUNCTION_ARGS)
{
	static const char *const states[] = {ASIDE_TASK_STATES(ASIDE_NAMED)};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	AsidePool  *pool = aside_caller_pool(false);
	uint64		counts[ASIDE_TASK_STATE_COUNT] = {0};
	int64		oldest = 0;

	aside_begin_rows(fcinfo);
	if (pool != NULL && aside_find_tasks(pool, false))
		oldest = aside_task_counts(pool->handle, counts);
	for (int state = ASIDE_TASK_PENDING; state < ASIDE_TASK_STATE_COUNT; state++)
	{
		Datum		values[3] = {CStringGetTextDatum(states[state]), Int64GetDatum(counts[state]), TimestampTzGetDatum(oldest)};
		bool		nulls[3] = {false, false, state != ASIDE_TASK_QUEUED || oldest == 0};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* Does the server, and not each session, have workers? */
Datum
aside_is_preloaded(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(aside_is_shared());
}
