/*
 * sql/session.c
 *	  The SQL functions of autonomous sessions.
 */
#include "base/aside.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

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

static void
finish(aside_status status)
{
	aside_rows = NULL;
	if (status != ASIDE_OK)
		aside_throw_kept();
	/* The rest of this statement sees the objects as the command has left them. */
	AcceptInvalidationMessages();
}

/* For what does not ask a worker, which would refuse: no index function of somebody's looks at sessions or closes them. */
static void
refuse_if_restricted(void)
{
	if (InSecurityRestrictedOperation())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot use an autonomous session within a security-restricted operation")));
}

/* A call that runs no command of the user's. */
static void
plain_call(const char *what, aside_call *call)
{
	AsideRequest request = {.kind = ASIDE_KIND_SESSION, .command = aside_text_bytes(what)};

	aside_fill_call(&request, call);
}

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

/* Is this database among those of aside.allow_databases? */
static bool
is_allowed(const char *name)
{
	char	   *copy = pstrdup(aside_allow_databases);
	List	   *names = NIL;
	ListCell   *cell;
	bool		allowed = false;

	(void) SplitIdentifierString(copy, ',', &names);
	foreach(cell, names)
		allowed |= strcmp(lfirst(cell), "*") == 0 || strcmp(lfirst(cell), name) == 0;
	return allowed;
}

static void
check_may_connect(Oid database, const char *name)
{
	if (!is_allowed(name))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for database \"%s\"", name),
				 errdetail("It is not among those of \"aside.allow_databases\".")));
	if (aside_database_aclcheck(database, GetUserId()) == ACLCHECK_OK &&
		aside_database_aclcheck(database, GetAuthenticatedUserId()) == ACLCHECK_OK)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for database \"%s\"", name),
			 errdetail("User does not have CONNECT privilege.")));
}

/* The server counts no background workers, so workers in use are added. Superusers have no limit. */
static void
check_limits(Oid database, int limit, const char *name)
{
	Oid			user = GetAuthenticatedUserId();
	aside_pool *pool = aside_caller_pool(true)->handle;
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(user));
	int			role_limit = -1;

	if (HeapTupleIsValid(tuple))
	{
		role_limit = ((Form_pg_authid) GETSTRUCT(tuple))->rolconnlimit;
		ReleaseSysCache(tuple);
	}
	if (superuser_arg(user))
		return;
	if (limit >= 0 && CountDBConnections(database) + (int) aside_pool_in_use(pool, database, InvalidOid) >= limit)
		ereport(ERROR,
				(errcode(ERRCODE_TOO_MANY_CONNECTIONS),
				 errmsg("too many connections for database \"%s\"", name)));
	if (role_limit >= 0 && CountUserBackends(user) + (int) aside_pool_in_use(pool, InvalidOid, user) >= role_limit)
		ereport(ERROR,
				(errcode(ERRCODE_TOO_MANY_CONNECTIONS),
				 errmsg("too many connections for role \"%s\"", GetUserNameFromId(user, false))));
}

static void
check_database(Oid database, const char *name)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	FormData_pg_database form;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_DATABASE),
				 errmsg("database \"%s\" does not exist", name)));
	form = *(Form_pg_database) GETSTRUCT(tuple);
	ReleaseSysCache(tuple);
	/* A worker may be there from before. */
	if (!form.datallowconn)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("database \"%s\" is not currently accepting connections", name)));
	/* Whoever copies it must find nobody there. */
	if (form.datistemplate)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("autonomous session cannot be in database \"%s\", which is a template", name)));
	aside_refuse_encoding(database,
						  psprintf("autonomous session cannot be in database \"%s\", which has another encoding", name),
						  "Use a client connection, for example with dblink.");
	check_limits(database, form.datconnlimit, name);
}

/* May the current user have commands run in that database? Raises why not. */
void
aside_check_target(Oid database, const char *name)
{
	if (database == MyDatabaseId)
		return;
	check_may_connect(database, name);
	check_database(database, name);
}

void
aside_open_session(aside_bytes session, Oid database)
{
	aside_call	call;

	plain_call("open autonomous session", &call);
	call.database = database;
	finish(aside_session_open(aside_caller_pool(true)->handle, aside_get_caller_host(), &call, session));
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
	finish(aside_session_run(pool->handle, aside_get_caller_host(), &call,
							 aside_text_argument(fcinfo, 0), &ending));
	PG_RETURN_DATUM(tag_datum(&ending));
}

/* An empty store for rows of these columns, in the query's memory. */
static void
start_rows(FunctionCallInfo fcinfo, AsideRows *rows)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old;

	memset(rows, 0, sizeof(*rows));
	rows->context = result->econtext->ecxt_per_query_memory;
	old = MemoryContextSwitchTo(rows->context);
	rows->store = tuplestore_begin_heap((result->allowedModes & SFRM_Materialize_Random) != 0,
										false, work_mem);
	MemoryContextSwitchTo(old);
}

static TupleDesc
keep_desc(AsideRows *rows, TupleDesc desc)
{
	MemoryContext old = MemoryContextSwitchTo(rows->context);

	desc = CreateTupleDescCopy(desc);
	MemoryContextSwitchTo(old);
	return desc;
}

/* Rows come in these columns. */
static void
expect_rows(AsideRows *rows, const aside_column *columns, TupleDesc wanted)
{
	MemoryContext old = MemoryContextSwitchTo(rows->context);

	rows->described = CreateTupleDescCopy(wanted);
	rows->styles = palloc0(sizeof(uint32) * Max(wanted->natts, 1));
	for (int i = 0; i < wanted->natts; i++)
	{
		rows->styles[i] = columns[i].by_text;
		if (rows->styles[i] != 0)
			TupleDescInitEntry(rows->described, i + 1, NameStr(TupleDescAttr(wanted, i)->attname),
							   TEXTOID, -1, 0);
	}
	TupleDescFinalize(rows->described);
	rows->slot = MakeSingleTupleTableSlot(rows->described, &TTSOpsMinimalTuple);
	MemoryContextSwitchTo(old);
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

	start_rows(fcinfo, &rows);
	wanted = keep_desc(&rows, wanted);
	expect_rows(&rows, columns, wanted);
	session_call(fcinfo, ASIDE_OUTPUT_ROWS, &call);
	call.columns = columns;
	call.ncolumns = wanted->natts;
	aside_rows = &rows;
	finish(aside_session_run(pool->handle, aside_get_caller_host(), &call, name, &ending));
	aside_return_store(fcinfo, &rows, wanted);
	return (Datum) 0;
}

/* autonomous_session_send(session text, command text [, VARIADIC args "any"]) */
Datum
aside_autonomous_session_send(PG_FUNCTION_ARGS)
{
	AsidePool  *pool = aside_caller_pool(true);
	aside_call	call;

	session_call(fcinfo, ASIDE_OUTPUT_DESCRIBED, &call);
	finish(aside_session_send(pool->handle, aside_get_caller_host(), &call, aside_text_argument(fcinfo, 0)));
	PG_RETURN_VOID();
}

/* autonomous_session_result(session text) returns setof record */
Datum
aside_autonomous_session_result(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	AsidePool  *pool = aside_caller_pool(true);
	TupleDesc	wanted = aside_wanted_columns(fcinfo);
	aside_ending ending = {0};
	AsideRows	rows;
	aside_call	call;

	start_rows(fcinfo, &rows);
	wanted = keep_desc(&rows, wanted);
	plain_call("read result of autonomous session", &call);
	aside_rows = &rows;
	finish(aside_session_result(pool->handle, aside_get_caller_host(), &call,
								aside_text_argument(fcinfo, 0), false, &ending));
	if (ending.found)
	{
		aside_return_store(fcinfo, &rows, wanted);
		return (Datum) 0;
	}
	result->returnMode = SFRM_Materialize;
	result->setResult = rows.store;
	result->setDesc = wanted;
	return (Datum) 0;
}

/* autonomous_session_is_busy(session text) returns boolean */
Datum
aside_autonomous_session_is_busy(PG_FUNCTION_ARGS)
{
	bool		busy = false;

	refuse_if_restricted();
	finish(aside_session_is_busy(aside_caller_pool(true)->handle, aside_get_caller_host(),
								 aside_text_argument(fcinfo, 0), &busy));
	PG_RETURN_BOOL(busy);
}

/* autonomous_session_cancel(session text) returns boolean */
Datum
aside_autonomous_session_cancel(PG_FUNCTION_ARGS)
{
	bool		cancelled = false;

	refuse_if_restricted();
	finish(aside_session_cancel(aside_caller_pool(true)->handle, aside_get_caller_host(),
								aside_text_argument(fcinfo, 0), &cancelled));
	PG_RETURN_BOOL(cancelled);
}

/* autonomous_session_error(session text) returns text */
Datum
aside_autonomous_session_error(PG_FUNCTION_ARGS)
{
	aside_bytes message = {NULL, 0};
	aside_call	call;

	refuse_if_restricted();
	plain_call("read error of autonomous session", &call);
	finish(aside_session_error(aside_caller_pool(true)->handle, aside_get_caller_host(), &call,
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
	plain_call("read notifications of autonomous session", &call);
	aside_rows = &rows;
	finish(aside_session_notifications(aside_caller_pool(true)->handle, aside_get_caller_host(), &call,
									   aside_text_argument(fcinfo, 0)));
	ExecDropSingleTupleTableSlot(rows.slot);
	return (Datum) 0;
}

/* autonomous_session_close(session text) */
Datum
aside_autonomous_session_close(PG_FUNCTION_ARGS)
{
	aside_call	call;

	refuse_if_restricted();
	plain_call("close autonomous session", &call);
	finish(aside_session_close(aside_caller_pool(true)->handle, aside_get_caller_host(), &call,
							   aside_text_argument(fcinfo, 0)));
	PG_RETURN_VOID();
}

/* DISCARD ALL: what a pooler hands on to its next client is not to hold the last one's sessions. */
void
aside_discard_sessions(void)
{
	AsidePool  *pool = aside_caller_pool(false);
	aside_call	call;

	if (pool == NULL)
		return;
	plain_call("close autonomous session", &call);
	finish(aside_sessions_close(pool->handle, aside_get_caller_host(), &call));
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

	refuse_if_restricted();
	aside_begin_rows(fcinfo);
	for (uint32 i = 0; pool != NULL && aside_view_session(pool->handle, i, &row); i++)
		put_session(result, &row);
	return (Datum) 0;
}
