/*
 * worker/server_log.c
 *	  Writes to the server's log what a client's backend would write.
 *
 * The worker logs each message once. The caller passes a worker's messages on
 * to its client, and does not log them. Each line says for whom the worker
 * works.
 */
#include "call/call.h"
#include "worker/worker.h"

#include "access/xact.h"
#include "mb/stringinfo_mb.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

static emit_log_hook_type prev_emit_log_hook = NULL;

/* The running command, as log_statement and its like show it; NULL for a routine, which they do not show. */
static const char *running = NULL;
static bool logged = false;
static const char *parameters = NULL;

/* The error that is reported now is for the log, and not for the caller. */
bool		aside_only_logs = false;

/* The work of this worker, in words; NULL if it has none. Allocated. */
static char *
work_in_words(void)
{
	AsidePool  *pool = aside_worker_pool();
	uint64		task;
	int			pid = aside_caller_pid();

	if (pool == NULL || aside_command == NULL)
		return NULL;
	if (aside_handler_runs)
		return pstrdup(aside_command);
	task = aside_worker_task(pool->handle);
	if (task != 0)
		return psprintf("task " UINT64_FORMAT " of process %d", task, pid);
	return psprintf("autonomous transaction of process %d", pid);
}

/* The log's CONTEXT names the work, the client's does not: aside_unname_work() removes that line. */
static void
name_work(ErrorData *edata)
{
	char	   *work = work_in_words();

	if (work == NULL)
		return;
	if (edata->context == NULL)
		edata->context = work;
	else
	{
		char	   *longer = psprintf("%s\n%s", edata->context, work);

		pfree(edata->context);
		pfree(work);
		edata->context = longer;
	}
}

/* The context of a message on its way to the caller's client. */
char *
aside_unname_work(char *context)
{
	char	   *work = work_in_words();
	size_t		length = context == NULL ? 0 : strlen(context);
	size_t		named = work == NULL ? 0 : strlen(work);

	if (named == 0 || length < named || strcmp(context + length - named, work) != 0)
		return context;
	if (length == named)
		return NULL;
	context[length - named - 1] = '\0';
	return context;
}

static void
emit(ErrorData *edata)
{
	if (aside_relaying)
		edata->output_to_server = false;
	else
		name_work(edata);
	if (edata->output_to_server && prev_emit_log_hook != NULL)
		prev_emit_log_hook(edata);
}

void
aside_install_log_hook(void)
{
	prev_emit_log_hook = emit_log_hook;
	emit_log_hook = emit;
}

/*
 * Log the error that ended a command, as PostgresMain() does. The caller gets
 * the error in another way. If the caller does not catch it, the server logs
 * it a second time, as the error of the caller's statement.
 */
static void
write_error(const aside_report *report, ErrorData *saved)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData	error;

	if (saved != NULL)
	{
		error = *saved;
		error.message = pnstrdup((const char *) report->message.data, report->message.len);
		error.sqlerrcode = report->sqlstate;
	}
	PG_TRY();
	{
		if (saved != NULL)
			ReThrowError(&error);
		ThrowErrorData(aside_make_error_data(report));
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		aside_only_logs = true;
		EmitErrorReport();
		aside_only_logs = false;
		FlushErrorState();
	}
	PG_END_TRY();
}

void
aside_host_log(const aside_report *report, bool saved)
{
	aside_status status = ASIDE_OK;
	const char *query = debug_query_string;

	ASIDE_TRY(status);
	{
		MemoryContext scratch = AllocSetContextCreate(TopMemoryContext, "pg_aside log", ALLOCSET_SMALL_SIZES);
		MemoryContext old = MemoryContextSwitchTo(scratch);

		/* The log shows the command's own text, and not its caller's. */
		if (running != NULL)
			debug_query_string = running;
		write_error(report, saved ? aside_kept_error() : NULL);
		MemoryContextSwitchTo(old);
		MemoryContextDelete(scratch);
	}
	ASIDE_END_TRY();
	aside_only_logs = false;
	debug_query_string = query;
}

static void
append_parameter(StringInfo to, const aside_arg *arg)
{
	Oid			output;
	bool		varlena;
	char	   *text;

	if (arg->form == ASIDE_ARG_NULL)
	{
		appendStringInfoString(to, "NULL");
		return;
	}
	if (arg->form == ASIDE_ARG_TEXT)
		text = pnstrdup((const char *) arg->data.data, arg->data.len);
	else
	{
		getTypeOutputInfo(arg->type, &output, &varlena);
		text = OidOutputFunctionCall(output, aside_argument_datum(arg, arg->type));
	}
	appendStringInfoStringQuoted(to, text, log_parameter_max_length);
}

/* The parameters, as the server writes those of a client's statement. */
static char *
describe_parameters(const aside_arg *args, size_t nargs)
{
	StringInfoData text;

	initStringInfo(&text);
	for (size_t i = 0; i < nargs; i++)
	{
		appendStringInfo(&text, "%s$%zu = ", i == 0 ? "" : ", ", i + 1);
		append_parameter(&text, &args[i]);
	}
	return text.data;
}

/* A command begins, or goes on. A routine has no text. */
void
aside_log_command(const char *text)
{
	if (text != NULL && running != NULL)
		return;
	running = text;
	logged = false;
	parameters = NULL;
}

/* The same for a handler, whose text may be gone before the command ends. */
void
aside_log_handler(const char *text)
{
	if (running == NULL)
		aside_log_command(MemoryContextStrdup(aside_request_context, text));
}

/* A statement of the command is about to run. A command is logged once. */
void
aside_log_statement(Node *statement, const aside_arg *args, size_t nargs)
{
	bool		wanted = !logged && log_statement != LOGSTMT_NONE &&
		(log_statement == LOGSTMT_ALL || GetCommandLogLevel(statement) <= log_statement);
	bool		timed = log_min_duration_statement >= 0 || log_min_duration_sample >= 0 || xact_is_sampled;

	if (nargs > 0 && parameters == NULL && log_parameter_max_length != 0 && (wanted || timed))
	{
		MemoryContext old = MemoryContextSwitchTo(aside_request_context);

		parameters = describe_parameters(args, nargs);
		MemoryContextSwitchTo(old);
	}
	if (!wanted)
		return;
	ereport(LOG,
			(nargs == 0 ? errmsg("statement: %s", running) : errmsg("execute <unnamed>: %s", running),
			 errhidestmt(true),
			 parameters != NULL ? errdetail("parameters: %s", parameters) : 0));
	logged = true;
}

/* A command has ended well. */
void
aside_log_duration(void)
{
	char		duration[32];

	if (running == NULL)
		return;
	switch (check_log_duration(duration, logged))
	{
		case 1:
			ereport(LOG, (errmsg("duration: %s ms", duration), errhidestmt(true)));
			break;
		case 2:
			ereport(LOG,
					(errmsg("duration: %s ms  %s: %s", duration, parameters == NULL ? "statement" : "execute <unnamed>",
							running),
					 errhidestmt(true),
					 parameters != NULL ? errdetail("parameters: %s", parameters) : 0));
			break;
		default:
			break;
	}
	running = NULL;
}
