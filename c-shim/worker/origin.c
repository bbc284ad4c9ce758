/*
 * worker/origin.c
 *	  What a worker knows of its caller, and the places where the server and
 *	  its functions look for that.
 *
 * A worker has a Port, as a client's backend has. These read it:
 * log_line_prefix and the log's other formats, inet_client_addr() and its
 * like, and sslinfo, which does not ask whether there is a Port. The Port has
 * no socket. The functions for a socket's keepalives leave the socket alone if
 * the defaults are unknown.
 */
#include "call/call.h"
#include "call/origin.h"
#include "worker/worker.h"

#include "access/htup_details.h"
#include "commands/dbcommands.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/ps_status.h"

/* Only a few declarations are wanted; the rest would need the Kerberos headers. */
#undef ENABLE_GSS
#undef ENABLE_SSPI
#include "libpq/libpq-be.h"

PG_FUNCTION_INFO_V1(aside_caller);

/* What this worker knows of its caller. */
static StringInfoData known;
static const AsideOrigin *origin = NULL;
static const char *caller_application;
static const char *caller_query;
static uint64 caller_xid;
static StringInfoData caller_stack;

static Port port;

/* The worker's Port while the worker has no caller, or knows nothing of it. */
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

/* Called in a transaction. This worker has connected, and its log lines say as which user. */
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
	/* The user and database, as ps shows them for a backend. */
	set_ps_display(psprintf("%s %s", port.user_name, port.database_name));
}

void
aside_host_origin(aside_bytes block)
{
	aside_status status = ASIDE_OK;
	const char *text;

	origin = NULL;
	aside_client_pid = 0;
	clear_port();
	if (block.data == NULL || block.len < sizeof(AsideOrigin))
		return;
	ASIDE_TRY(status);
	{
		if (known.maxlen > ASIDE_ORIGIN_KEPT && block.len <= ASIDE_ORIGIN_KEPT)
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
	origin = (const AsideOrigin *) known.data;
	aside_client_pid = origin->client_pid;
	text = known.data + sizeof(AsideOrigin);
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

/* The client's statement that caused this work; NULL if none did. */
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

/* aside.caller(): one row. All its columns are NULL if this process works for no caller. */
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
		const aside_identity *who = &aside_acting;

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
