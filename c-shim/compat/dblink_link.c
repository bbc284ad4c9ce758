/*
 * compat/dblink_link.c
 *	  Connections of aside_dblink. This file opens them as a connection string
 *	  says, runs commands over them, and raises or reports remote errors.
 */
#include "compat/dblink.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "parser/scansup.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"

static bool
is_open(const char *session)
{
	return aside_session_database(aside_caller_pool(true)->handle, aside_text_bytes(session)) != InvalidOid;
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

static Connection
connection(const char *name)
{
	Connection	on = {.session = "dblink"};

	if (name != NULL)
	{
		char	   *cut = pstrdup(name);

		truncate_identifier(cut, strlen(cut), false);
		on.name = cut;
		on.session = psprintf("dblink:%s", cut);
	}
	return on;
}

/* NULL: the unnamed one. */
Connection
aside_dblink_named(const char *name)
{
	Connection	on = connection(name);

	if (!is_open(on.session))
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_DOES_NOT_EXIST),
				 on.name == NULL ? errmsg("connection not available") :
				 errmsg("connection \"%s\" not available", on.name)));
	return on;
}

/* Apply the settings of a connection string. What begins while they hold gets them. */
static int
enter_settings(const List *settings)
{
	int			nest = NewGUCNestLevel();

	for (int i = 0; i + 1 < list_length(settings); i += 2)
		(void) set_config_option(list_nth(settings, i), list_nth(settings, i + 1),
								 superuser() ? PGC_SUSET : PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	return nest;
}

void
aside_dblink_disconnect(const Connection *on)
{
	aside_call	call;

	fill_call("close dblink connection", &call);
	if (aside_session_close(aside_caller_pool(true)->handle, aside_get_caller_host(), &call,
							aside_text_bytes(on->session)) != ASIDE_OK)
		aside_throw_kept();
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

/* Did the command succeed? If not, this raises its error, or reports it as a notice. */
static bool
settled(const Command *command, aside_status status)
{
	ErrorContextCallback context = {.callback = add_context, .arg = unconstify(Command *, command)};
	ErrorData  *edata = aside_kept_error();
	char	   *query;
	int			position;

	aside_rows = NULL;
	if (status == ASIDE_OK)
		return true;
	context.previous = error_context_stack;
	/*
	 * An error with a text domain comes from this process and is not remote:
	 * for example, somebody cancels its statement.
	 */
	if (edata == NULL || edata->domain != NULL)
		aside_throw_kept();
	if (command->quiet)
		return false;
	aside_dblink_undress(edata, &query, &position);
	error_context_stack = &context;
	if (command->fail)
		aside_throw_kept();
	edata->elevel = NOTICE;
	ThrowErrorData(edata);
	error_context_stack = context.previous;
	return false;
}

/* False: one is in progress. */
bool
aside_dblink_send(const Connection *on, const char *text)
{
	aside_status status;
	aside_call	call;

	fill_call(text, &call);
	status = aside_session_send(aside_caller_pool(true)->handle, aside_get_caller_host(), &call,
								aside_text_bytes(on->session));
	if (status != ASIDE_OK && aside_kept_error()->sqlerrcode != ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE)
		aside_throw_kept();
	return status == ASIDE_OK;
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

/* As one transaction. */
static bool
run_alone(const Command *command, AsideRows *rows, aside_ending *last)
{
	int			nest = enter_settings(command->on.settings);
	aside_status status;
	aside_call	call;

	fill_call(command->text, &call);
	call.database = command->on.database;
	AtEOXact_GUC(true, nest);
	aside_rows = rows;
	status = aside_call_run(aside_caller_pool(true)->handle, aside_get_caller_host(), &call, last);
	last->rows = rows->described != NULL;
	return settled(command, status);
}

/* Run it; an error closes the connection. */
static bool
run_or_close(const Command *command, AsideRows *rows, aside_ending *last)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool done = false;

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
		aside_dblink_disconnect(&command->on);
		ReThrowError(edata);
	}
	PG_END_TRY();
	return done;
}

/* Open the session of a connection. */
static void
open_session(const Connection *on, const Target *target)
{
	int			nest = enter_settings(target->settings);
	Command		setup = {.on = *on, .text = target->setup, .doing = "opening it", .fail = true};
	aside_ending last;
	AsideRows	rows;

	aside_check_target(target->database, target->name);
	aside_open_session(aside_text_bytes(on->session), target->database);
	AtEOXact_GUC(true, nest);
	if (target->setup == NULL)
		return;
	aside_start_store(&rows, CurrentMemoryContext, false);
	(void) run_or_close(&setup, &rows, &last);
	tuplestore_end(rows.store);
}

static bool
is_alive(const char *session)
{
	AsidePool  *pool = aside_caller_pool(true);
	aside_session_row row;

	for (uint32 i = 0; aside_view_session(pool->handle, i, &row); i++)
		if (row.name.len == strlen(session) && memcmp(row.name.data, session, row.name.len) == 0)
			return row.alive;
	return false;
}

/* Raises an error if the name is taken. The unnamed connection is replaced instead. */
void
aside_dblink_connect(const char *name, const char *conninfo)
{
	Connection	on = connection(name);
	Target		target = aside_dblink_target(conninfo);

	if (is_alive(on.session))
	{
		if (name != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("duplicate connection name")));
		aside_dblink_disconnect(&on);
	}
	open_session(&on, &target);
}

Connection
aside_dblink_named_or_string(const char *name)
{
	static uint32 transients = 0;
	Connection	on = connection(name);
	Target		target;

	if (is_open(on.session))
		return on;
	target = aside_dblink_target(name);
	on.name = NULL;
	on.transient = true;
	if (InLocalUserIdChange())
	{
		/* Others could use a session to act as the definer. */
		if (target.setup != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("cannot act as the session user within a security-definer function"),
					 errhint("Leave \"user\" out of the connection string, or name the current user.")));
		aside_check_target(target.database, target.name);
		on.session = NULL;
		on.database = target.database;
		on.settings = target.settings;
		return on;
	}
	on.session = psprintf("dblink transient %u", ++transients);
	open_session(&on, &target);
	return on;
}

/* Run it. False: it failed, and this was told. */
bool
aside_dblink_run(const Command *command, AsideRows *rows, aside_ending *last)
{
	bool		done;

	if (command->on.session == NULL)
		done = run_alone(command, rows, last);
	else if (command->on.transient)
	{
		done = run_or_close(command, rows, last);
		aside_dblink_disconnect(&command->on);
	}
	else
		done = run(command, rows, last);
	/* The rest of this statement sees the objects as the command has left them. */
	AcceptInvalidationMessages();
	return done;
}

/* Rows of (channel, payload, pid), into a store that is empty. */
void
aside_dblink_notifications(const Connection *on, AsideRows *rows)
{
	TupleDesc	desc = CreateTemplateTupleDesc(3);
	aside_status status;
	aside_call	call;

	TupleDescInitEntry(desc, 1, "channel", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, 2, "payload", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, 3, "pid", INT4OID, -1, 0);
	TupleDescFinalize(desc);
	rows->slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	fill_call("read notifications of dblink connection", &call);
	aside_rows = rows;
	status = aside_session_notifications(aside_caller_pool(true)->handle, aside_get_caller_host(), &call,
										 aside_text_bytes(on->session));
	aside_rows = NULL;
	if (status != ASIDE_OK)
		aside_throw_kept();
}

/* The first value of a command, as text, if it may have rows; or its tag; NULL: none, or it failed. */
text *
aside_dblink_value(const Command *command, bool may_have_rows, bool *done)
{
	text	   *value = NULL;
	aside_ending last = {0};
	AsideRows	rows;

	aside_start_store(&rows, CurrentMemoryContext, false);
	*done = aside_dblink_run(command, &rows, &last);
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
