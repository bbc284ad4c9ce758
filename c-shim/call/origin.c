/*
 * call/origin.c
 *	  Who is behind autonomous work: its caller's process writes that down,
 *	  and the worker puts it where the server and its functions look.
 *
 * What is the same for all calls of a statement crosses once for each worker:
 * the block below, under a name.  With each call come the caller's transaction
 * and, if aside.caller_stack is on, the place in its code.
 *
 * A worker has a Port, as a client's backend has: log_line_prefix and the log's
 * other formats, inet_client_addr() and its like, and sslinfo read it, the last
 * without asking if it is there.  It has no socket.  The functions for a
 * socket's keepalives ask it nothing where their defaults are said to be unknown.
 */
#include "base/aside.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "common/hashfn.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Only a few declarations are wanted; the rest would need the Kerberos headers. */
#undef ENABLE_GSS
#undef ENABLE_SSPI
#include "libpq/libpq-be.h"

PG_FUNCTION_INFO_V1(aside_caller);

/* A longer text of a statement is cut; a task keeps it for as long as it waits. */
#define MOST_QUERY_BYTES (1024 * 1024)
#define MOST_QUERY_BYTES_OF_TASK 4096
/* A larger block is not kept for the next statement. */
#define KEEP_BYTES (64 * 1024)

/*
 * There follow the client's address and the server's, and application_name,
 * the client's host and port, and the query, each with its end; that of the
 * query may have been cut off.
 */
typedef struct Origin
{
	int			pid;			/* of the process that makes the call */
	int			client_pid;		/* of the client's backend at the top; 0: none */
	bool		has_query;
	uint32		remote_length;
	uint32		local_length;
	uint32		query;			/* where it begins */
} Origin;

bool		aside_caller_stack = false;

/* What this worker knows of its caller. */
static StringInfoData known;
static const Origin *origin = NULL;
static const char *caller_application;
static const char *caller_query;
static uint64 caller_xid;
static StringInfoData caller_stack;

static Port port;

static void
append_text(StringInfo to, const char *text)
{
	if (text == NULL)
		text = "";
	appendBinaryStringInfo(to, text, strlen(text) + 1);
}

static void
describe(StringInfo to)
{
	const char *query = debug_query_string;
	Origin		head;

	memset(&head, 0, sizeof(head));
	head.pid = MyProcPid;
	if (origin != NULL)
		head.client_pid = origin->client_pid;
	else if (MyProcPort != NULL && aside_worker_pool() == NULL)
		head.client_pid = MyProcPid;
	head.has_query = query != NULL;
	if (MyProcPort != NULL)
	{
		head.remote_length = Min(MyProcPort->raddr.salen, sizeof(MyProcPort->raddr.addr));
		head.local_length = Min(MyProcPort->laddr.salen, sizeof(MyProcPort->laddr.addr));
	}
	resetStringInfo(to);
	appendBinaryStringInfo(to, (const char *) &head, sizeof(head));
	if (MyProcPort != NULL)
	{
		appendBinaryStringInfo(to, (const char *) &MyProcPort->raddr.addr, head.remote_length);
		appendBinaryStringInfo(to, (const char *) &MyProcPort->laddr.addr, head.local_length);
	}
	append_text(to, application_name);
	append_text(to, MyProcPort == NULL ? NULL : MyProcPort->remote_host);
	append_text(to, MyProcPort == NULL ? NULL : MyProcPort->remote_port);
	((Origin *) to->data)->query = to->len;
	if (query != NULL)
	{
		size_t		length = strlen(query);

		if (length > MOST_QUERY_BYTES)
			length = pg_mbcliplen(query, length, MOST_QUERY_BYTES);
		appendBinaryStringInfo(to, query, length);
	}
	append_text(to, NULL);
}

/* What a worker is to know of this process in its present statement, and its name. */
void
aside_origin_current(aside_bytes *block, uint64_t *version)
{
	static StringInfoData text;
	static const char *query = NULL;
	static TimestampTz since = 0;
	static struct
	{
		TimestampTz started;
		uint64		pid;
		uint64		count;
	}			name;

	if (text.data == NULL || query != debug_query_string || since != GetCurrentStatementStartTimestamp())
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		if (text.data != NULL && text.maxlen > KEEP_BYTES)
		{
			pfree(text.data);
			text.data = NULL;
		}
		if (text.data == NULL)
			initStringInfo(&text);
		MemoryContextSwitchTo(old);
		describe(&text);
		query = debug_query_string;
		since = GetCurrentStatementStartTimestamp();
		name.started = MyStartTimestamp;
		name.pid = MyProcPid;
		name.count++;
	}
	block->data = (const uint8_t *) text.data;
	block->len = text.len;
	*version = Max(hash_bytes_extended((const unsigned char *) &name, sizeof(name), 0), 1);
}

/* The same for a task, which cuts the query shorter. */
void
aside_origin_of_task(aside_bytes *block, uint64_t *version)
{
	size_t		before = ((const Origin *) block->data)->query;

	if (block->len - before <= MOST_QUERY_BYTES_OF_TASK)
		return;
	block->len = before + pg_mbcliplen((const char *) block->data + before, block->len - before,
									   MOST_QUERY_BYTES_OF_TASK);
	*version = *version == PG_UINT64_MAX ? 1 : *version + 1;
}

/* Where the code is that makes the call; NULL: it is not to be told. */
aside_bytes
aside_stack_current(void)
{
	aside_bytes none = {NULL, 0};
	const char *stack = aside_caller_stack ? GetErrorContextStack() : NULL;

	return stack == NULL ? none : aside_text_bytes(stack);
}

/* The worker's Port, for as long as it has no caller of whom it knows. */
static void
clear_port(void)
{
	char	   *user = port.user_name;
	char	   *database = port.database_name;

	memset(&port, 0, sizeof(port));
	port.sock = PGINVALID_SOCKET;
	port.user_name = user;
	port.database_name = database;
	port.default_keepalives_idle = -1;
	port.default_keepalives_interval = -1;
	port.default_keepalives_count = -1;
	port.default_tcp_user_timeout = -1;
}

/* In a transaction: this worker has connected, and its log lines say as whom. */
void
aside_have_port(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	port.user_name = GetUserNameFromId(GetAuthenticatedUserId(), false);
	port.database_name = get_database_name(MyDatabaseId);
	initStringInfo(&known);
	initStringInfo(&caller_stack);
	MemoryContextSwitchTo(old);
	clear_port();
	MyProcPort = &port;
}

void
aside_host_origin(aside_bytes block)
{
	aside_status status = ASIDE_OK;
	const char *text;

	origin = NULL;
	clear_port();
	if (block.data == NULL || block.len < sizeof(Origin))
		return;
	ASIDE_TRY(status);
	{
		if (known.maxlen > KEEP_BYTES && block.len <= KEEP_BYTES)
		{
			MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

			pfree(known.data);
			initStringInfo(&known);
			MemoryContextSwitchTo(old);
		}
		resetStringInfo(&known);
		appendBinaryStringInfo(&known, (const char *) block.data, block.len);
	}
	ASIDE_END_TRY();
	if (status != ASIDE_OK)
		return;
	origin = (const Origin *) known.data;
	text = known.data + sizeof(Origin);
	port.raddr.salen = origin->remote_length;
	memcpy(&port.raddr.addr, text, origin->remote_length);
	text += origin->remote_length;
	port.laddr.salen = origin->local_length;
	memcpy(&port.laddr.addr, text, origin->local_length);
	text += origin->local_length;
	caller_application = text;
	text += strlen(text) + 1;
	port.remote_host = *text == '\0' ? NULL : unconstify(char *, text);
	text += strlen(text) + 1;
	port.remote_port = unconstify(char *, text);
	text += strlen(text) + 1;
	caller_query = origin->has_query ? text : NULL;
}

void
aside_host_call_site(uint64_t xid, aside_bytes stack)
{
	aside_status status = ASIDE_OK;

	caller_xid = xid;
	if (caller_stack.len == 0 && stack.len == 0)
		return;
	ASIDE_TRY(status);
	{
		resetStringInfo(&caller_stack);
		appendBinaryStringInfo(&caller_stack, (const char *) stack.data, stack.len);
	}
	ASIDE_END_TRY();
}

/* The statement of a client from which this work comes; NULL if it comes from none. */
const char *
aside_caller_query(void)
{
	return origin == NULL ? NULL : caller_query;
}

/* 0: nobody's. */
int
aside_caller_pid(void)
{
	return origin == NULL ? 0 : origin->pid;
}

static void
put_address(PGFunction function, Datum *value, bool *null)
{
	LOCAL_FCINFO(fcinfo, 0);

	InitFunctionCallInfoData(*fcinfo, NULL, 0, InvalidOid, NULL, NULL);
	*value = function(fcinfo);
	*null = fcinfo->isnull;
}

static void
put_text(const char *text, Datum *value, bool *null)
{
	*null = text == NULL || *text == '\0';
	if (!*null)
		*value = CStringGetTextDatum(text);
}

static void
put_name(Oid role, Datum *value, bool *null)
{
	char	   *name = GetUserNameFromId(role, true);

	*null = name == NULL;
	if (name != NULL)
		*value = DirectFunctionCall1(namein, CStringGetDatum(name));
}

/* aside.caller(): one row, all NULL where no autonomous work is done for a caller. */
Datum
aside_caller(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[13];
	bool		nulls[13];
	int			i = 0;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE || desc->natts != lengthof(values))
		elog(ERROR, "aside.caller() is declared with another result");
	memset(nulls, true, sizeof(nulls));
	if (origin != NULL && aside_command != NULL)
	{
		const aside_identity *who = aside_acting();

		values[i] = Int32GetDatum(origin->pid);
		nulls[i++] = false;
		values[i] = Int32GetDatum(origin->client_pid);
		nulls[i++] = origin->client_pid == 0;
		values[i] = Int32GetDatum(aside_worker_depth(aside_worker_pool()->handle));
		nulls[i++] = false;
		put_name(who->session_user, &values[i], &nulls[i]);
		i++;
		put_name(who->current_user, &values[i], &nulls[i]);
		i++;
		put_text(caller_application, &values[i], &nulls[i]);
		i++;
		put_address(inet_client_addr, &values[i], &nulls[i]);
		i++;
		put_address(inet_client_port, &values[i], &nulls[i]);
		i++;
		put_address(inet_server_addr, &values[i], &nulls[i]);
		i++;
		put_address(inet_server_port, &values[i], &nulls[i]);
		i++;
		put_text(caller_query, &values[i], &nulls[i]);
		i++;
		values[i] = UInt64GetDatum(caller_xid);
		nulls[i++] = caller_xid == 0;
		put_text(caller_stack.data, &values[i], &nulls[i]);
	}
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}
