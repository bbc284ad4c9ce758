/*
 * sqlfuncs_compat.c
 *	  What SQL cannot say of aside_dblink: functions that return whatever
 *	  columns their caller expects, and remote errors that become notices.
 *
 * Declared by sql/compat/aside_dblink--*.sql.  A connection named x is the
 * autonomous session "dblink:x", the unnamed one is "dblink"; what else a first
 * argument says is a connection string, for which aside.dblink_open opens a
 * session that ends with the call.
 */
#include "aside.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "parser/scansup.h"
#include "utils/builtins.h"
#include "utils/inval.h"

PG_FUNCTION_INFO_V1(aside_dblink);
PG_FUNCTION_INFO_V1(aside_dblink_fetch);
PG_FUNCTION_INFO_V1(aside_dblink_get_result);
PG_FUNCTION_INFO_V1(aside_dblink_exec);
PG_FUNCTION_INFO_V1(aside_dblink_send_query);
PG_FUNCTION_INFO_V1(aside_dblink_do);

typedef struct Connection
{
	const char *name;			/* NULL: it has none */
	const char *session;
	bool		transient;
} Connection;

/* One command, or the next result of one that was sent. */
typedef struct Command
{
	Connection	on;
	const char *text;			/* NULL: it was sent before */
	const char *doing;			/* for the error's context */
	bool		fail;			/* a remote error is one here too, and not a notice */
} Command;

static char *
text_at(FunctionCallInfo fcinfo, int at)
{
	return text_to_cstring(PG_GETARG_TEXT_PP(at));
}

static bool
is_open(const char *session)
{
	return aside_session_database(aside_caller_pool(true)->handle, aside_text_bytes(session)) != InvalidOid;
}

/* The connection that argument `at` names, the unnamed one if it is negative; or a transient one, if it may be. */
static Connection
connection_at(FunctionCallInfo fcinfo, int at, bool may_be_string)
{
	static uint32 transients = 0;
	Connection	on = {.session = "dblink"};
	Oid			types[2] = {TEXTOID, TEXTOID};
	char	   *name;

	if (at >= 0)
	{
		name = text_at(fcinfo, at);
		truncate_identifier(name, strlen(name), false);
		on.name = name;
		on.session = psprintf("dblink:%s", name);
	}
	if (is_open(on.session))
		return on;
	if (at < 0 || !may_be_string)
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_DOES_NOT_EXIST),
				 on.name == NULL ? errmsg("connection not available") :
				 errmsg("connection \"%s\" not available", on.name)));
	on.name = NULL;
	on.session = psprintf("dblink transient %u", ++transients);
	on.transient = true;
	OidFunctionCall2(LookupFuncName(list_make2(makeString("aside"), makeString("dblink_open")), 2, types, false),
					 CStringGetTextDatum(on.session), PG_GETARG_DATUM(at));
	return on;
}

static void
add_context(void *arg)
{
	const Command *command = arg;

	if (command->on.name == NULL)
		errcontext("while %s on unnamed dblink connection", command->doing);
	else
		errcontext("while %s on dblink connection named \"%s\"", command->doing, command->on.name);
}

/* Did it go well? If not, that is an error, or told as a notice. */
static bool
settled(const Command *command, aside_status status)
{
	ErrorContextCallback context = {.callback = add_context, .arg = unconstify(Command *, command)};
	ErrorData  *edata = aside_kept_error();

	aside_rows = NULL;
	if (status == ASIDE_OK)
		return true;
	context.previous = error_context_stack;
	error_context_stack = &context;
	/* What this process raised itself has a text domain. It is not remote: its statement is being cancelled, say. */
	if (command->fail || edata == NULL || edata->domain != NULL)
		aside_throw_kept();
	edata->elevel = NOTICE;
	ThrowErrorData(edata);
	error_context_stack = context.previous;
	return false;
}

static void
fill_call(const char *text, aside_call *call)
{
	AsideRequest request = {
		.kind = ASIDE_KIND_SESSION,
		.output = ASIDE_OUTPUT_TEXT,
		.command = aside_text_bytes(text),
	};

	aside_fill_call(&request, call);
}

static aside_status
next_result(const Command *command, aside_call *call, AsideRows *rows, aside_ending *ending)
{
	aside_rows = rows;
	return aside_session_result(aside_caller_pool(true)->handle, aside_get_caller_host(), call,
								aside_text_bytes(command->on.session), true, ending);
}

static bool
run(const Command *command, AsideRows *rows, aside_ending *last)
{
	aside_ending ending = {0};
	aside_status status;
	aside_call	call;

	fill_call(command->text == NULL ? "read result of dblink connection" : command->text, &call);
	if (command->text == NULL)
		return settled(command, next_result(command, &call, rows, last));
	status = aside_session_send(aside_caller_pool(true)->handle, aside_get_caller_host(), &call,
								aside_text_bytes(command->on.session));
	while (status == ASIDE_OK)
	{
		status = next_result(command, &call, rows, &ending);
		if (status == ASIDE_OK && !ending.found)
			break;
		*last = ending;
	}
	return settled(command, status);
}

static void
close_transient(const Command *command)
{
	aside_call	call;

	fill_call("close dblink connection", &call);
	(void) aside_session_close(aside_caller_pool(true)->handle, aside_get_caller_host(), &call,
							   aside_text_bytes(command->on.session));
}

/* Run it; a transient connection is closed whatever comes of it. False: it failed, and this was told. */
static bool
run_and_close(const Command *command, AsideRows *rows, aside_ending *last)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool done = false;

	if (!command->on.transient)
		done = run(command, rows, last);
	else
	{
		PG_TRY();
		{
			done = run(command, rows, last);
		}
		PG_CATCH();
		{
			ErrorData  *edata;

			/* Closing may meet and forget errors of its own. */
			MemoryContextSwitchTo(context);
			edata = CopyErrorData();
			FlushErrorState();
			close_transient(command);
			ReThrowError(edata);
		}
		PG_END_TRY();
		close_transient(command);
	}
	/* The rest of this statement sees the objects as the command has left them. */
	AcceptInvalidationMessages();
	return done;
}

static void
start_rows(AsideRows *rows, MemoryContext context, bool random)
{
	MemoryContext old = MemoryContextSwitchTo(context);

	memset(rows, 0, sizeof(*rows));
	rows->context = context;
	rows->store = tuplestore_begin_heap(random, false, work_mem);
	MemoryContextSwitchTo(old);
}

/* Run a command whose rows are the function's, each column read from the text that it came as; a tag is a row too. */
static Datum
return_rows(FunctionCallInfo fcinfo, TupleDesc wanted, AsideRows *rows, const Command *command)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	aside_ending last = {0};
	bool		done = run_and_close(command, rows, &last);

	if (done && last.rows)
	{
		if (rows->described->natts != wanted->natts)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("remote query result rowtype does not match the specified FROM clause rowtype")));
		aside_return_store(fcinfo, rows, wanted);
		return (Datum) 0;
	}
	tuplestore_clear(rows->store);
	result->returnMode = SFRM_Materialize;
	result->setResult = rows->store;
	result->setDesc = wanted;
	if (done && last.found)
	{
		Datum		tag = PointerGetDatum(cstring_to_text_with_len(last.tag, last.tag_len));
		bool		null = false;

		if (wanted->natts != 1 || TupleDescAttr(wanted, 0)->atttypid != TEXTOID)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("function return row and query-specified return row do not match")));
		tuplestore_putvalues(rows->store, wanted, &tag, &null);
	}
	return (Datum) 0;
}

static TupleDesc
prepare_rows(FunctionCallInfo fcinfo, AsideRows *rows)
{
	TupleDesc	wanted = aside_wanted_columns(fcinfo);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old = MemoryContextSwitchTo(result->econtext->ecxt_per_query_memory);

	wanted = CreateTupleDescCopy(wanted);
	MemoryContextSwitchTo(old);
	start_rows(rows, result->econtext->ecxt_per_query_memory,
			   (result->allowedModes & SFRM_Materialize_Random) != 0);
	return wanted;
}

/* The arguments are: [connection,] what `own` counts [, fail]. How many come before the function's own? */
static int
first_own(FunctionCallInfo fcinfo, int own, bool *fail)
{
	int			last = PG_NARGS() - 1;
	bool		has_fail = get_fn_expr_argtype(fcinfo->flinfo, last) == BOOLOID;

	*fail = !has_fail || PG_GETARG_BOOL(last);
	return PG_NARGS() - has_fail - own;
}

/* dblink([connection or connection string,] command text [, fail boolean]) returns setof record */
Datum
aside_dblink(PG_FUNCTION_ARGS)
{
	Command		command = {.doing = "executing query"};
	int			first = first_own(fcinfo, 1, &command.fail);
	AsideRows	rows;
	TupleDesc	wanted = prepare_rows(fcinfo, &rows);

	command.text = text_at(fcinfo, first);
	command.on = connection_at(fcinfo, first - 1, true);
	return return_rows(fcinfo, wanted, &rows, &command);
}

/* dblink_fetch([connection,] cursor text, how_many int [, fail boolean]) returns setof record */
Datum
aside_dblink_fetch(PG_FUNCTION_ARGS)
{
	Command		command = {0};
	int			first = first_own(fcinfo, 2, &command.fail);
	char	   *cursor = text_at(fcinfo, first);
	AsideRows	rows;
	TupleDesc	wanted = prepare_rows(fcinfo, &rows);

	command.on = connection_at(fcinfo, first - 1, false);
	command.doing = psprintf("fetching from cursor \"%s\"", cursor);
	command.text = psprintf("FETCH %d FROM %s", PG_GETARG_INT32(first + 1), cursor);
	return return_rows(fcinfo, wanted, &rows, &command);
}

/* dblink_get_result(connection text [, fail boolean]) returns setof record */
Datum
aside_dblink_get_result(PG_FUNCTION_ARGS)
{
	Command		command = {.doing = "executing query"};
	AsideRows	rows;
	TupleDesc	wanted = prepare_rows(fcinfo, &rows);

	(void) first_own(fcinfo, 1, &command.fail);
	command.on = connection_at(fcinfo, 0, false);
	return return_rows(fcinfo, wanted, &rows, &command);
}

/* dblink_send_query(connection text, command text) returns int: 0 if one is in progress, which is told */
Datum
aside_dblink_send_query(PG_FUNCTION_ARGS)
{
	Connection	on = connection_at(fcinfo, 0, false);
	aside_status status;
	aside_call	call;

	fill_call(text_at(fcinfo, 1), &call);
	status = aside_session_send(aside_caller_pool(true)->handle, aside_get_caller_host(), &call,
								aside_text_bytes(on.session));
	if (status == ASIDE_OK)
		PG_RETURN_INT32(1);
	if (aside_kept_error()->sqlerrcode != ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE)
		aside_throw_kept();
	ereport(NOTICE, (errmsg("could not send query: another command is already in progress")));
	PG_RETURN_INT32(0);
}

/* The first value of a command, as text, if it may have rows; or its tag; NULL: none, or it failed. */
static text *
one_value(const Command *command, bool may_have_rows, bool *done)
{
	text	   *value = NULL;
	aside_ending last = {0};
	AsideRows	rows;

	start_rows(&rows, CurrentMemoryContext, false);
	*done = run_and_close(command, &rows, &last);
	if (*done && last.rows && !may_have_rows)
		ereport(ERROR,
				(errcode(ERRCODE_S_R_E_PROHIBITED_SQL_STATEMENT_ATTEMPTED),
				 errmsg("statement returning results not allowed")));
	if (*done && !last.rows)
		value = cstring_to_text_with_len(last.tag, last.tag_len);
	else if (*done && tuplestore_gettupleslot(rows.store, true, false, rows.slot))
	{
		bool		null;
		Datum		first = slot_getattr(rows.slot, 1, &null);

		if (!null)
			value = DatumGetTextPCopy(first);
	}
	if (rows.slot != NULL)
		ExecDropSingleTupleTableSlot(rows.slot);
	tuplestore_end(rows.store);
	return value;
}

/* dblink_exec([connection or connection string,] command text [, fail boolean]) returns text */
Datum
aside_dblink_exec(PG_FUNCTION_ARGS)
{
	Command		command = {.doing = "executing command"};
	int			first = first_own(fcinfo, 1, &command.fail);
	bool		done;
	text	   *tag;

	command.text = text_at(fcinfo, first);
	command.on = connection_at(fcinfo, first - 1, true);
	tag = one_value(&command, false, &done);
	PG_RETURN_TEXT_P(done ? tag : cstring_to_text("ERROR"));
}

/*
 * aside.dblink_do(session text, doing text, command text, fail boolean) returns text:
 * the first value, or the tag of a command without rows; NULL if it failed and this was told
 */
Datum
aside_dblink_do(PG_FUNCTION_ARGS)
{
	const char *session = text_at(fcinfo, 0);
	Command		command = {
		.on.session = session,
		.on.name = strncmp(session, "dblink:", 7) == 0 ? session + 7 : NULL,
		.doing = text_at(fcinfo, 1),
		.text = text_at(fcinfo, 2),
		.fail = PG_GETARG_BOOL(3),
	};
	bool		done;
	text	   *value = one_value(&command, true, &done);

	if (value == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(value);
}
