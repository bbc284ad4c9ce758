/*
 * compat/dblink.c
 *	  The SQL functions of aside_dblink.
 *
 * sql/compat/aside_dblink--*.sql declares them. They are in C for two reasons:
 * some return whatever columns their caller expects, and none may add a line
 * to the context of an error, because users of dblink read that context.
 */
#include "compat/dblink.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(aside_dblink_connect_function);
PG_FUNCTION_INFO_V1(aside_dblink_disconnect_function);
PG_FUNCTION_INFO_V1(aside_dblink);
PG_FUNCTION_INFO_V1(aside_dblink_exec);
PG_FUNCTION_INFO_V1(aside_dblink_open);
PG_FUNCTION_INFO_V1(aside_dblink_fetch);
PG_FUNCTION_INFO_V1(aside_dblink_close);
PG_FUNCTION_INFO_V1(aside_dblink_send_query);
PG_FUNCTION_INFO_V1(aside_dblink_is_busy);
PG_FUNCTION_INFO_V1(aside_dblink_get_result);
PG_FUNCTION_INFO_V1(aside_dblink_cancel_query);
PG_FUNCTION_INFO_V1(aside_dblink_error_message);
PG_FUNCTION_INFO_V1(aside_dblink_get_notify);

static char *
text_at(FunctionCallInfo fcinfo, int at)
{
	return text_to_cstring(PG_GETARG_TEXT_PP(at));
}

static text *
ok(void)
{
	return cstring_to_text("OK");
}

/* The connection that argument `at` names, the unnamed one if it is negative. */
static Connection
named_at(FunctionCallInfo fcinfo, int at)
{
	return aside_dblink_named(at < 0 ? NULL : text_at(fcinfo, at));
}

/* The same, or a connection string. */
static Connection
connection_at(FunctionCallInfo fcinfo, int at)
{
	return at < 0 ? aside_dblink_named(NULL) : aside_dblink_named_or_string(text_at(fcinfo, at));
}

/* dblink_connect([name text,] connection string text) returns text, and dblink_connect_u */
Datum
aside_dblink_connect_function(PG_FUNCTION_ARGS)
{
	int			last = PG_NARGS() - 1;

	aside_dblink_connect(last == 0 ? NULL : text_at(fcinfo, 0), text_at(fcinfo, last));
	PG_RETURN_TEXT_P(ok());
}

/* dblink_disconnect([connection text]) returns text */
Datum
aside_dblink_disconnect_function(PG_FUNCTION_ARGS)
{
	Connection	on = named_at(fcinfo, PG_NARGS() - 1);

	aside_dblink_disconnect(&on);
	PG_RETURN_TEXT_P(ok());
}

/* A tag is a row of one text, whatever is expected. */
static Datum
return_tag(FunctionCallInfo fcinfo, AsideRows *rows, const aside_ending *ending, TupleDesc wanted)
{
	MemoryContext old = MemoryContextSwitchTo(rows->context);
	TupleDesc	desc = CreateTemplateTupleDesc(1);
	Datum		tag = PointerGetDatum(cstring_to_text_with_len(ending->tag, ending->tag_len));
	bool		null = false;

	if (wanted != NULL && (wanted->natts != 1 || TupleDescAttr(wanted, 0)->atttypid != TEXTOID))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("function return row and query-specified return row do not match")));
	TupleDescInitEntry(desc, 1, "status", TEXTOID, -1, 0);
	TupleDescFinalize(desc);
	desc = BlessTupleDesc(desc);
	MemoryContextSwitchTo(old);
	tuplestore_clear(rows->store);
	tuplestore_putvalues(rows->store, desc, &tag, &null);
	return aside_return_rows(fcinfo, rows, desc);
}

/*
 * Run a command whose rows are the function's, each column read from the text
 * that it came as; a tag is a row too.  Where no columns are named, it may
 * return none.
 */
static Datum
return_rows(FunctionCallInfo fcinfo, const Command *command)
{
	TupleDesc	wanted;
	bool		named = get_call_result_type(fcinfo, NULL, &wanted) == TYPEFUNC_COMPOSITE;
	AsideRows	rows;
	aside_ending last = {0};

	aside_start_rows(fcinfo, &rows);
	wanted = named ? aside_keep_columns(&rows, wanted) : NULL;
	if (!aside_dblink_run(command, &rows, &last) || !last.found)
	{
		if (!named)
			rows.store = NULL;
		return aside_return_rows(fcinfo, &rows, wanted);
	}
	if (!last.rows)
		return return_tag(fcinfo, &rows, &last, wanted);
	if (!named)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("function returning record called in context that cannot accept type record"),
				 errhint("Call it in FROM, with a column definition list.")));
	if (rows.described->natts != wanted->natts)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("remote query result rowtype does not match the specified FROM clause rowtype")));
	return aside_convert_rows(fcinfo, &rows, wanted);
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

	aside_require_set_context(fcinfo);
	command.text = text_at(fcinfo, first);
	command.on = connection_at(fcinfo, first - 1);
	return return_rows(fcinfo, &command);
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
	command.on = connection_at(fcinfo, first - 1);
	tag = aside_dblink_value(&command, false, &done);
	PG_RETURN_TEXT_P(done ? tag : cstring_to_text("ERROR"));
}

/* The first value of a command that belongs to another one, as text; NULL: it failed. */
static char *
ask(const Command *of, const char *sql)
{
	Command		command = {.on = of->on, .text = sql, .doing = of->doing, .quiet = true};
	bool		done;
	text	   *value = aside_dblink_value(&command, true, &done);

	return done && value != NULL ? text_to_cstring(value) : NULL;
}

static void
must(const Command *of, const char *sql)
{
	Command		command = {.on = of->on, .text = sql, .doing = of->doing, .fail = true};
	bool		done;

	(void) aside_dblink_value(&command, true, &done);
}

/*
 * How many cursors are open in a transaction that dblink_open began is a
 * setting local to that transaction, in the session itself: it ends with it,
 * however it ends.  Empty: no such transaction.
 */
#define CURSORS "SELECT coalesce(pg_catalog.current_setting('aside_dblink.cursors', true), '')"

static void
set_cursors(const Command *command, int count)
{
	must(command, psprintf("SELECT pg_catalog.set_config('aside_dblink.cursors', '%d', true)", count));
}

/* Begin a transaction block for a cursor, if there is none; cursors open in one that was begun so, or -1: it is somebody's. */
static int
begin_for_cursor(const Command *command)
{
	/* What is local is still there in the next command only within a block. */
	char	   *cursors = ask(command, "SELECT pg_catalog.set_config('aside_dblink.in_block', 'yes', true); " CURSORS);
	char	   *block;

	if (cursors == NULL || *cursors != '\0')
		return cursors == NULL ? -1 : atoi(cursors);
	block = ask(command, "SELECT coalesce(pg_catalog.current_setting('aside_dblink.in_block', true), '')");
	if (block == NULL || *block != '\0')
		return -1;
	must(command, "BEGIN");
	return 0;
}

/* dblink_open([connection,] cursor text, query text [, fail boolean]) returns text */
Datum
aside_dblink_open(PG_FUNCTION_ARGS)
{
	Command		command = {0};
	int			first = first_own(fcinfo, 2, &command.fail);
	char	   *cursor = text_at(fcinfo, first);
	int			cursors;
	bool		done;

	command.on = named_at(fcinfo, first - 1);
	command.doing = psprintf("opening cursor \"%s\"", cursor);
	command.text = psprintf("DECLARE %s CURSOR FOR %s", cursor, text_at(fcinfo, first + 1));
	cursors = begin_for_cursor(&command);
	(void) aside_dblink_value(&command, true, &done);
	if (!done)
		PG_RETURN_TEXT_P(cstring_to_text("ERROR"));
	if (cursors >= 0)
		set_cursors(&command, cursors + 1);
	PG_RETURN_TEXT_P(ok());
}

/* dblink_fetch([connection,] cursor text, how_many int [, fail boolean]) returns setof record */
Datum
aside_dblink_fetch(PG_FUNCTION_ARGS)
{
	Command		command = {0};
	int			first = first_own(fcinfo, 2, &command.fail);
	char	   *cursor = text_at(fcinfo, first);

	aside_require_set_context(fcinfo);
	command.on = named_at(fcinfo, first - 1);
	command.doing = psprintf("fetching from cursor \"%s\"", cursor);
	command.text = psprintf("FETCH %d FROM %s", PG_GETARG_INT32(first + 1), cursor);
	return return_rows(fcinfo, &command);
}

/* dblink_close([connection,] cursor text [, fail boolean]) returns text: the last cursor ends the transaction begun for it */
Datum
aside_dblink_close(PG_FUNCTION_ARGS)
{
	Command		command = {0};
	int			first = first_own(fcinfo, 1, &command.fail);
	char	   *cursor = text_at(fcinfo, first);
	char	   *cursors;
	bool		done;

	command.on = named_at(fcinfo, first - 1);
	command.doing = psprintf("closing cursor \"%s\"", cursor);
	command.text = psprintf("CLOSE %s", cursor);
	(void) aside_dblink_value(&command, true, &done);
	if (!done)
		PG_RETURN_TEXT_P(cstring_to_text("ERROR"));
	cursors = ask(&command, CURSORS);
	if (cursors != NULL && atoi(cursors) == 1)
		must(&command, "COMMIT");
	else if (cursors != NULL && *cursors != '\0')
		set_cursors(&command, atoi(cursors) - 1);
	PG_RETURN_TEXT_P(ok());
}

/* dblink_send_query(connection text, command text) returns int: 0 if one is in progress, which is told */
Datum
aside_dblink_send_query(PG_FUNCTION_ARGS)
{
	Connection	on = named_at(fcinfo, 0);

	if (aside_dblink_send(&on, text_at(fcinfo, 1)))
		PG_RETURN_INT32(1);
	ereport(NOTICE, (errmsg("could not send query: another command is already in progress")));
	PG_RETURN_INT32(0);
}

/* dblink_is_busy(connection text) returns int */
Datum
aside_dblink_is_busy(PG_FUNCTION_ARGS)
{
	Connection	on = named_at(fcinfo, 0);
	bool		busy = false;

	if (aside_session_is_busy(aside_caller_pool(true)->handle, aside_get_caller_host(),
							  aside_text_bytes(on.session), &busy) != ASIDE_OK)
		aside_throw_kept();
	PG_RETURN_INT32(busy);
}

/* dblink_get_result(connection text [, fail boolean]) returns setof record */
Datum
aside_dblink_get_result(PG_FUNCTION_ARGS)
{
	Command		command = {.doing = "executing query"};

	aside_require_set_context(fcinfo);
	(void) first_own(fcinfo, 1, &command.fail);
	command.on = named_at(fcinfo, 0);
	return return_rows(fcinfo, &command);
}

/* dblink_cancel_query(connection text) returns text */
Datum
aside_dblink_cancel_query(PG_FUNCTION_ARGS)
{
	Connection	on = named_at(fcinfo, 0);
	bool		cancelled;

	if (aside_session_cancel(aside_caller_pool(true)->handle, aside_get_caller_host(),
							 aside_text_bytes(on.session), &cancelled) != ASIDE_OK)
		aside_throw_kept();
	PG_RETURN_TEXT_P(ok());
}

/* dblink_error_message(connection text) returns text: of the last command, as libpq has it; OK if it raised none */
Datum
aside_dblink_error_message(PG_FUNCTION_ARGS)
{
	Connection	on = named_at(fcinfo, 0);
	AsideRequest request = {.kind = ASIDE_KIND_SESSION, .command = aside_text_bytes("read error of autonomous session")};
	aside_call	call;

	aside_fill_call(&request, &call);
	if (aside_session_failure(aside_caller_pool(true)->handle, aside_get_caller_host(), &call,
							  aside_text_bytes(on.session)) == ASIDE_OK)
		PG_RETURN_TEXT_P(ok());
	PG_RETURN_TEXT_P(cstring_to_text(aside_dblink_message(aside_kept_error())));
}

/* dblink_get_notify([connection text,] OUT notify_name text, OUT be_pid int, OUT extra text) returns setof record */
Datum
aside_dblink_get_notify(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Connection	on = named_at(fcinfo, PG_NARGS() - 1);
	AsideRows	rows;

	aside_begin_rows(fcinfo);
	aside_start_store(&rows, CurrentMemoryContext, false);
	aside_dblink_notifications(&on, &rows);
	while (tuplestore_gettupleslot(rows.store, true, false, rows.slot))
	{
		Datum		values[3];
		bool		nulls[3];

		values[0] = slot_getattr(rows.slot, 1, &nulls[0]);
		values[1] = slot_getattr(rows.slot, 3, &nulls[1]);
		values[2] = slot_getattr(rows.slot, 2, &nulls[2]);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	ExecDropSingleTupleTableSlot(rows.slot);
	tuplestore_end(rows.store);
	return (Datum) 0;
}
