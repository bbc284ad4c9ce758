/*
 * call/origin.c
 *	  Who is behind autonomous work, as the calling process writes it down.
 *
 * What is the same for all calls of a statement crosses once for each worker,
 * as a block under a name. The caller's transaction crosses with each call,
 * and so does the place in the caller's code if aside.caller_stack is on.
 */
#include "call/call.h"
#include "call/origin.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "tcop/tcopprot.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/memutils.h"

/* Only a few declarations are wanted; the rest would need the Kerberos headers. */
#undef ENABLE_GSS
#undef ENABLE_SSPI
#include "libpq/libpq-be.h"

/* A longer text of a statement is cut. A task keeps the text for as long as the task waits, so it keeps less. */
#define MOST_QUERY_BYTES (1024 * 1024)
#define MOST_QUERY_BYTES_OF_TASK 4096

/* Of the client's backend for which this worker works; 0: of none, or this is no worker. */
int			aside_client_pid = 0;

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
	AsideOrigin		head;

	memset(&head, 0, sizeof(head));
	head.pid = MyProcPid;
	if (aside_client_pid != 0)
		head.client_pid = aside_client_pid;
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
	((AsideOrigin *) to->data)->query = to->len;
	if (query != NULL)
	{
		size_t		length = strlen(query);

		if (length > MOST_QUERY_BYTES)
			length = pg_mbcliplen(query, length, MOST_QUERY_BYTES);
		appendBinaryStringInfo(to, query, length);
	}
	append_text(to, NULL);
}

/* A name that no other process has given, and this one not before. */
static uint64
next_name(void)
{
	static uint64 count = 0;
	uint64		parts[3] = {MyStartTimestamp, MyProcPid, ++count};

	return Max(hash_bytes_extended((const unsigned char *) parts, sizeof(parts), 0), 1);
}

/* What a worker should know of this process in its present statement, and the name of that block. */
void
aside_origin_current(aside_bytes *block, uint64_t *version)
{
	static StringInfoData text;
	static const char *query = NULL;
	static TimestampTz since = 0;
	static uint64 name = 0;

	if (text.data == NULL || query != debug_query_string || since != GetCurrentStatementStartTimestamp())
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		if (text.data != NULL && text.maxlen > ASIDE_ORIGIN_KEPT)
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
		name = next_name();
	}
	block->data = (const uint8_t *) text.data;
	block->len = text.len;
	*version = name;
}

/* The same for a task, which cuts the query shorter. */
void
aside_origin_of_task(aside_bytes *block, uint64_t *version)
{
	size_t		before = ((const AsideOrigin *) block->data)->query;

	if (block->len - before <= MOST_QUERY_BYTES_OF_TASK)
		return;
	block->len = before + pg_mbcliplen((const char *) block->data + before, block->len - before,
									   MOST_QUERY_BYTES_OF_TASK);
	*version = *version == PG_UINT64_MAX ? 1 : *version + 1;
}

/* Where in its code the caller makes the call. NULL: aside.caller_stack is off. */
aside_bytes
aside_stack_current(void)
{
	aside_bytes none = {NULL, 0};
	const char *stack = aside_caller_stack ? GetErrorContextStack() : NULL;

	return stack == NULL ? none : aside_text_bytes(stack);
}
