/*
 * base/report.c
 *	  Errors: the trap keeps an error, a report carries it with every field,
 *	  and the last act of a SQL function throws it.
 *
 * One error at a time is kept, in a memory context of its own. The call in
 * which an error happened ends before the next call begins.
 */
#include "base/aside.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"

static MemoryContext error_context = NULL;
static ErrorData *kept = NULL;

/* The kept error came from a worker: contexts of this process are still to be added. */
static bool kept_is_remote = false;

/* What is raised now comes from a worker, which has logged it. */
bool		aside_relaying = false;

static MemoryContext
fresh_error_context(void)
{
	if (error_context == NULL)
		error_context = AllocSetContextCreate(TopMemoryContext, "pg_aside error",
											  ALLOCSET_SMALL_SIZES);
	else
		MemoryContextReset(error_context);
	kept = NULL;
	return error_context;
}

/* The error that is kept if there is no memory for an error. It needs none. */
static ErrorData *
without_memory(void)
{
	static ErrorData edata;

	memset(&edata, 0, sizeof(edata));
	edata.elevel = ERROR;
	edata.sqlerrcode = ERRCODE_OUT_OF_MEMORY;
	edata.message = "out of memory";
	edata.detail = "There was no memory to keep an error of an autonomous transaction.";
	return &edata;
}

/*
 * The server assumes that the names of a source file and of a function are
 * constants: copies of an error point to them even when the error itself is
 * gone. So this keeps each name once, for good. There are few: no more than
 * the server and its modules were built with.
 */
static const char *
lasting_name(const char *name, size_t len)
{
	static HTAB *names = NULL;
	char		key[NAMEDATALEN];

	if (name == NULL)
		return NULL;
	if (names == NULL)
	{
		HASHCTL		control = {.keysize = NAMEDATALEN, .entrysize = NAMEDATALEN};

		names = hash_create("pg_aside source names", 64, &control, HASH_ELEM | HASH_STRINGS);
	}
	len = Min(len, sizeof(key) - 1);
	memcpy(key, name, len);
	key[len] = '\0';
	return hash_search(names, key, HASH_ENTER, NULL);
}

/*
 * In a PG_CATCH block: take the error over. Rust frames lie below, and no
 * error may pass them, so an error that cannot be copied is replaced.
 */
void
aside_keep_error(MemoryContext back_to)
{
	PG_TRY();
	{
		MemoryContextSwitchTo(fresh_error_context());
		kept = CopyErrorData();
		kept_is_remote = false;
	}
	PG_CATCH();
	{
		kept = without_memory();
		kept_is_remote = true;
	}
	PG_END_TRY();
	FlushErrorState();
	MemoryContextSwitchTo(back_to);
}

/*
 * No memory is left, and Rust would abort the process. Instead the process
 * ends as the server ends one. Like any FATAL, this does not return.
 */
void
aside_end_without_memory(size_t bytes)
{
	ereport(FATAL,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("out of memory"),
			 errdetail("pg_aside could not go on without %zu bytes.", bytes)));
	pg_unreachable();
}

ErrorData *
aside_kept_error(void)
{
	return kept;
}

static char *
text_or_null(aside_bytes bytes)
{
	return bytes.data == NULL ? NULL : pnstrdup((const char *) bytes.data, bytes.len);
}

static int
elevel_of(uint32_t severity)
{
	switch (severity)
	{
		case ASIDE_DEBUG:
			return DEBUG1;
		case ASIDE_LOG:
			return LOG;
		case ASIDE_INFO:
			return INFO;
		case ASIDE_NOTICE:
			return NOTICE;
		case ASIDE_WARNING:
			return WARNING;
		default:
			return ERROR;
	}
}

/* An ErrorData in the current context. */
ErrorData *
aside_make_error_data(const aside_report *report)
{
	ErrorData  *edata = palloc0(sizeof(ErrorData));

	edata->elevel = elevel_of(report->severity);
	edata->sqlerrcode = report->sqlstate;
	edata->message = text_or_null(report->message);
	edata->detail = text_or_null(report->detail);
	edata->hint = text_or_null(report->hint);
	edata->context = text_or_null(report->context);
	edata->schema_name = text_or_null(report->schema_name);
	edata->table_name = text_or_null(report->table_name);
	edata->column_name = text_or_null(report->column_name);
	edata->datatype_name = text_or_null(report->datatype_name);
	edata->constraint_name = text_or_null(report->constraint_name);
	edata->internalquery = text_or_null(report->internal_query);
	edata->internalpos = report->internal_position;
	edata->cursorpos = report->position;
	edata->filename = lasting_name((const char *) report->file.data, report->file.len);
	edata->lineno = report->line;
	edata->funcname = lasting_name((const char *) report->function.data, report->function.len);
	edata->assoc_context = CurrentMemoryContext;
	return edata;
}

/* Keep an error that is not this process's own. */
void
aside_keep_report(const aside_report *report)
{
	aside_status status = ASIDE_OK;

	/* Called by Rust: without memory for this error, that is the error. */
	ASIDE_TRY(status);
	{
		MemoryContext old = MemoryContextSwitchTo(fresh_error_context());

		kept = aside_make_error_data(report);
		kept_is_remote = true;
		MemoryContextSwitchTo(old);
	}
	ASIDE_END_TRY();
}

/* Add a line to the DETAIL of the kept error. */
void
aside_amend_error(aside_bytes detail)
{
	aside_status status = ASIDE_OK;

	if (kept == NULL)
		return;
	ASIDE_TRY(status);
	{
		MemoryContext old = MemoryContextSwitchTo(error_context);

		kept->detail = kept->detail == NULL ? text_or_null(detail) :
			psprintf("%s\n%s", kept->detail, text_or_null(detail));
		MemoryContextSwitchTo(old);
	}
	ASIDE_END_TRY();
}

/* The last act of a SQL function, with no Rust frame below it. */
void
aside_throw_kept(void)
{
	ErrorData  *edata = kept;

	if (edata == NULL)
		elog(ERROR, "pg_aside lost the error that it was to report");
	kept = NULL;
	if (kept_is_remote)
		ThrowErrorData(edata);
	ReThrowError(edata);
}

static aside_bytes
bytes_of(const char *text)
{
	aside_bytes bytes = {(const uint8_t *) text, text == NULL ? 0 : strlen(text)};

	return bytes;
}

static uint32_t
severity_of(int elevel)
{
	if (elevel < LOG)
		return ASIDE_DEBUG;
	if (elevel == LOG || elevel == LOG_SERVER_ONLY)
		return ASIDE_LOG;
	if (elevel == INFO)
		return ASIDE_INFO;
	if (elevel == NOTICE)
		return ASIDE_NOTICE;
	if (elevel < ERROR)
		return ASIDE_WARNING;
	return elevel == ERROR ? ASIDE_ERROR : ASIDE_FATAL;
}

/* Lends the texts of edata. */
void
aside_fill_report(const ErrorData *edata, aside_report *out)
{
	memset(out, 0, sizeof(*out));
	out->severity = severity_of(edata->elevel);
	out->sqlstate = edata->sqlerrcode;
	out->position = edata->cursorpos;
	out->internal_position = edata->internalpos;
	out->line = edata->lineno;
	out->message = bytes_of(edata->message);
	out->detail = bytes_of(edata->detail);
	out->hint = bytes_of(edata->hint);
	out->context = bytes_of(edata->context);
	out->schema_name = bytes_of(edata->schema_name);
	out->table_name = bytes_of(edata->table_name);
	out->column_name = bytes_of(edata->column_name);
	out->datatype_name = bytes_of(edata->datatype_name);
	out->constraint_name = bytes_of(edata->constraint_name);
	out->internal_query = bytes_of(edata->internalquery);
	out->file = bytes_of(edata->filename);
	out->function = bytes_of(edata->funcname);
}

/* A message below ERROR that a worker has sent: to this process's client, and not to the log. */
void
aside_raise_message(const aside_report *message)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "pg_aside message", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);

	aside_relaying = true;
	PG_TRY();
	{
		ThrowErrorData(aside_make_error_data(message));
	}
	PG_FINALLY();
	{
		aside_relaying = false;
		MemoryContextSwitchTo(old);
		MemoryContextDelete(scratch);
	}
	PG_END_TRY();
}
