/*
 * sql/session.c
 *	  The SQL functions of autonomous sessions.
 */
#include "call/call.h"

#include "access/htup_details.h"
#include "commands/dbcommands.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(aside_autonomous_session_open);
PG_FUNCTION_INFO_V1(aside_autonomous_session_exec);
PG_FUNCTION_INFO_V1(aside_autonomous_session_query);
PG_FUNCTION_INFO_V1(aside_autonomous_session_send);
PG_FUNCTION_INFO_V1(aside_autonomous_session_is_busy);
PG_FUNCTION_INFO_V1(aside_autonomous_session_result);
PG_FUNCTION_INFO_V1(aside_autonomous_session_cancel);
PG_FUNCTION_INFO_V1(aside_autonomous_session_error);
PG_FUNCTION_INFO_V1(aside_autonomous_session_notifications);
PG_FUNCTION_INFO_V1(aside_autonomous_session_close);
PG_FUNCTION_INFO_V1(aside_autonomous_sessions);

/* The call of a function whose arguments are a session, a command, and the command's. */
static void
session_call(FunctionCallInfo fcinfo, aside_output output, aside_call *call)
{
	aside_bytes name = aside_text_argument(fcinfo, 0);
	uint32		database = aside_session_database(aside_caller_pool(true)->handle, name);
	AsideArguments *arguments = palloc(sizeof(AsideArguments));
	AsideRequest request = {
		.kind = ASIDE_KIND_SESSION,
		.output = output,
		.command = aside_text_argument(fcinfo, 1),
		.arguments = arguments,
	};

	aside_collect_arguments(arguments, fcinfo, 2, database != MyDatabaseId);
	aside_fill_call(&request, call);
}

/* autonomous_session_open(session text, database name) */
Datum
aside_autonomous_session_open(PG_FUNCTION_ARGS)
{
	Oid			database = MyDatabaseId;

	if (!PG_ARGISNULL(1))
	{
		const char *name = NameStr(*PG_GETARG_NAME(1));

		database = get_database_oid(name, false);
		aside_check_target(database, name);
	}
	aside_open_session(aside_text_argument(fcinfo, 0), database);
	PG_RETURN_VOID();
}

static Datum
tag_datum(const aside_ending *ending)
{
	return PointerGetDatum(cstring_to_text_with_len(ending->tag, ending->tag_len));
}

/* autonomous_session_exec(session text, command text [, VARIADIC args "any"]) returns text */
Datum
aside_autonomous_session_exec(PG_FUNCTION_ARGS)
{
	AsidePool  *pool = aside_caller_pool(true);
	aside_ending ending = {0};
	aside_call	call;

	session_call(fcinfo, ASIDE_OUTPUT_NONE, &call);
	aside_finish(aside_session_run(pool->handle, aside_get_caller_host(), &call,
							 aside_text_argument(fcinfo, 0), &ending));
	PG_RETURN_DATUM(tag_datum(&ending));
}

/* autonomous_session_query(session text, command text [, VARIADIC args "any"]) returns setof record */
Datum
aside_autonomous_session_query(PG_FUNCTION_ARGS)
{
	AsidePool  *pool = aside_caller_pool(true);
	aside_bytes name = aside_text_argument(fcinfo, 0);
	TupleDesc	wanted = aside_wanted_columns(fcinfo);
	uint32		database = aside_session_database(pool->handle, name);
	aside_column *columns = aside_expected_columns(wanted, database != MyDatabaseId);
	aside_ending ending = {0};
	AsideRows	rows;
	aside_call	call;

	aside_start_rows(fcinfo, &rows);
	wanted = aside_keep_columns(&rows, wanted);
	aside_expect_rows(&rows, columns, wanted);
	session_call(fcinfo, ASIDE_OUTPUT_ROWS, &call);
	call.columns = columns;
	call.ncolumns = wanted->natts;
	aside_rows = &rows;
	aside_finish(aside_session_run(pool->handle, aside_get_caller_host(), &call, name, &ending));
	return aside_convert_rows(fcinfo, &rows, wanted);
}

/* autonomous_session_send(session text, command text [, VARIADIC args "any"]) */
Datum
aside_autonomous_session_send(PG_FUNCTION_ARGS)
{
	AsidePool  *pool = aside_caller_pool(true);
	aside_call	call;

	session_call(fcinfo, ASIDE_OUTPUT_DESCRIBED, &call);
	aside_finish(aside_session_send(pool->handle, aside_get_caller_host(), &call, aside_text_argument(fcinfo, 0)));
	PG_RETURN_VOID();
}

/* autonomous_session_result(session text) returns setof record */
Datum
aside_autonomous_session_result(PG_FUNCTION_ARGS)
{
	AsidePool  *pool = aside_caller_pool(true);
	TupleDesc	wanted = aside_wanted_columns(fcinfo);
	aside_ending ending = {0};
	AsideRows	rows;
	aside_call	call;

	aside_start_rows(fcinfo, &rows);
	wanted = aside_keep_columns(&rows, wanted);
	aside_plain_call(ASIDE_KIND_SESSION, "read result of autonomous session", &call);
	aside_rows = &rows;
	aside_finish(aside_session_result(pool->handle, aside_get_caller_host(), &call,
								aside_text_argument(fcinfo, 0), false, &ending));
	return ending.found ? aside_convert_rows(fcinfo, &rows, wanted) : aside_return_rows(fcinfo, &rows, wanted);
}

/* autonomous_session_is_busy(session text) returns boolean */
Datum
aside_autonomous_session_is_busy(PG_FUNCTION_ARGS)
{
	bool		busy = false;

	aside_refuse_if_restricted("an autonomous session");
	aside_finish(aside_session_is_busy(aside_caller_pool(true)->handle, aside_get_caller_host(),
								 aside_text_argument(fcinfo, 0), &busy));
	PG_RETURN_BOOL(busy);
}

/* autonomous_session_cancel(session text) returns boolean */
Datum
aside_autonomous_session_cancel(PG_FUNCTION_ARGS)
{
	bool		cancelled = false;

	aside_refuse_if_restricted("an autonomous session");
	aside_finish(aside_session_cancel(aside_caller_pool(true)->handle, aside_get_caller_host(),
								aside_text_argument(fcinfo, 0), &cancelled));
	PG_RETURN_BOOL(cancelled);
}

/* autonomous_session_error(session text) returns text */
Datum
aside_autonomous_session_error(PG_FUNCTION_ARGS)
{
	aside_bytes message = {NULL, 0};
	aside_call	call;

	aside_refuse_if_restricted("an autonomous session");
	aside_plain_call(ASIDE_KIND_SESSION, "read error of autonomous session", &call);
	aside_finish(aside_session_error(aside_caller_pool(true)->handle, aside_get_caller_host(), &call,
							   aside_text_argument(fcinfo, 0), &message));
	if (message.data == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text_with_len((const char *) message.data, message.len));
}

/* autonomous_session_notifications(session text) returns setof (channel text, payload text, pid int) */
Datum
aside_autonomous_session_notifications(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	AsideRows	rows = {0};
	aside_call	call;

	aside_begin_rows(fcinfo);
	rows.store = result->setResult;
	rows.context = result->econtext->ecxt_per_query_memory;
	rows.slot = MakeSingleTupleTableSlot(result->setDesc, &TTSOpsMinimalTuple);
	aside_plain_call(ASIDE_KIND_SESSION, "read notifications of autonomous session", &call);
	aside_rows = &rows;
	aside_finish(aside_session_notifications(aside_caller_pool(true)->handle, aside_get_caller_host(), &call,
									   aside_text_argument(fcinfo, 0)));
	ExecDropSingleTupleTableSlot(rows.slot);
	return (Datum) 0;
}

/* autonomous_session_close(session text) */
Datum
aside_autonomous_session_close(PG_FUNCTION_ARGS)
{
	aside_call	call;

	aside_refuse_if_restricted("an autonomous session");
	aside_plain_call(ASIDE_KIND_SESSION, "close autonomous session", &call);
	aside_finish(aside_session_close(aside_caller_pool(true)->handle, aside_get_caller_host(), &call,
							   aside_text_argument(fcinfo, 0)));
	PG_RETURN_VOID();
}

static void
put_session(ReturnSetInfo *result, const aside_session_row *row)
{
	char	   *database = get_database_name(row->database);
	Datum		values[5] = {0};
	bool		nulls[5] = {false};

	values[0] = PointerGetDatum(cstring_to_text_with_len((const char *) row->name.data, row->name.len));
	nulls[1] = database == NULL;
	if (database != NULL)
		values[1] = DirectFunctionCall1(namein, CStringGetDatum(database));
	nulls[2] = !row->alive || row->pid == 0;
	values[2] = Int32GetDatum(row->pid);
	values[3] = CStringGetTextDatum(!row->alive ? "lost" : row->busy ? "busy" : "ready");
	values[4] = TimestampTzGetDatum(row->opened);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* autonomous_sessions() returns setof (session text, database name, pid int, state text, opened timestamptz) */
Datum
aside_autonomous_sessions(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	AsidePool  *pool = aside_caller_pool(false);
	aside_session_row row;

	aside_refuse_if_restricted("an autonomous session");
	aside_begin_rows(fcinfo);
	for (uint32 i = 0; pool != NULL && aside_view_session(pool->handle, i, &row); i++)
		put_session(result, &row);
	return (Datum) 0;
}
