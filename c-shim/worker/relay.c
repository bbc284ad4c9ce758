/*
 * worker/relay.c
 *	  Takes a worker's messages to its caller.
 *
 * The server believes that it talks to a client. This file is that client: it
 * unpacks each message and puts it on the worker's queue. So the caller's
 * client_min_messages decides what is sent, as for any client.
 */
#include "module/module.h"
#include "worker/worker.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/async.h"

/* Only a few declarations are wanted; the rest would need the Kerberos headers. */
#undef ENABLE_GSS
#undef ENABLE_SSPI
#include "libpq/libpq.h"
#include "libpq/pqformat.h"
#include "libpq/pqmq.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* To whom messages are handed. */
static const aside_worker_host *host = NULL;

/* Messages that were put on the way so far. */
uint64_t	aside_messages_relayed = 0;

/* Memory for one message. The server's error reporting frees only what it has allocated itself. */
static MemoryContext message_context = NULL;

static bool
has_highbit(const char *text)
{
	for (; *text != '\0'; text++)
		if (IS_HIGHBIT_SET(*text))
			return true;
	return false;
}

/* The text in the database's encoding, if it can be had without the risk of an error within an error; else NULL. */
static char *
converted_back(char *text)
{
	int			ours = GetDatabaseEncoding();
	int			theirs = pg_get_client_encoding();
	Oid			proc = IsTransactionState() ? FindDefaultConversionProc(theirs, ours) : InvalidOid;
	int			len = strlen(text);
	Size		room = (Size) len * MAX_CONVERSION_GROWTH + 1;
	char	   *out;

	if (!OidIsValid(proc) || room > MaxAllocSize)
		return NULL;
	out = palloc(room);
	if (pg_do_encoding_conversion_buf(proc, theirs, ours, (unsigned char *) text, len, (unsigned char *) out,
									  room, true) != len)
		return NULL;
	return pg_verify_mbstr(ours, out, strlen(out), true) ? out : NULL;
}

/*
 * A command may have set client_encoding, and the server then converts
 * messages. The caller gets them in the database's encoding.
 */
static void
make_ours(char **text)
{
	char	   *back;

	if (*text == NULL || !has_highbit(*text))
		return;
	back = converted_back(*text);
	if (back != NULL)
	{
		*text = back;
		return;
	}
	for (char *c = *text; *c != '\0'; c++)
		if (IS_HIGHBIT_SET(*c))
			*c = '?';
}

static void
make_message_ours(ErrorData *edata)
{
	int			theirs = pg_get_client_encoding();
	char	  **texts[] = {
		&edata->message, &edata->detail, &edata->hint, &edata->context, &edata->internalquery,
		&edata->schema_name, &edata->table_name, &edata->column_name, &edata->datatype_name,
		&edata->constraint_name
	};

	if (theirs == GetDatabaseEncoding() || theirs == PG_SQL_ASCII)
		return;
	for (int i = 0; i < lengthof(texts); i++)
		make_ours(texts[i]);
}

static void
unpack(const char *data, size_t len)
{
	StringInfoData message = {.data = unconstify(char *, data), .len = len, .maxlen = -1};
	ErrorData	edata;
	aside_report report;
	MemoryContext old = MemoryContextSwitchTo(message_context);

	aside_messages_relayed++;
	pq_parse_errornotice(&message, &edata);
	make_message_ours(&edata);
	edata.context = aside_unname_work(edata.context);
	aside_fill_report(&edata, &report);
	(void) aside_sink_message(aside_worker_pool()->handle, host, &report,
							  aside_command == NULL ? (aside_bytes) {0} : aside_text_bytes(aside_command));
	MemoryContextSwitchTo(old);
	MemoryContextReset(message_context);
}

/* Notifications that have come for the session that keeps this worker, oldest first. */
#define MOST_NOTIFICATION_BYTES (16 * 1024 * 1024)

typedef struct Notification
{
	int			pid;
	char	   *channel;
	char	   *payload;
} Notification;

static MemoryContext notification_context = NULL;
static List *notifications = NIL;
static uint64 notifications_lost = 0;

static void
keep_notification(const char *data, size_t len)
{
	StringInfoData message = {.data = unconstify(char *, data), .len = len, .maxlen = -1};
	MemoryContext old;
	Notification *one;

	if (notification_context == NULL)
		notification_context = AllocSetContextCreate(TopMemoryContext, "pg_aside notifications",
													 ALLOCSET_DEFAULT_SIZES);
	if (MemoryContextMemAllocated(notification_context, false) > MOST_NOTIFICATION_BYTES)
	{
		notifications_lost++;
		return;
	}
	old = MemoryContextSwitchTo(notification_context);
	one = palloc(sizeof(Notification));
	one->pid = pq_getmsgint(&message, 4);
	one->channel = pstrdup(pq_getmsgrawstring(&message));
	one->payload = pstrdup(pq_getmsgrawstring(&message));
	notifications = lappend(notifications, one);
	MemoryContextSwitchTo(old);
}

void
aside_forget_notifications(void)
{
	notifications = NIL;
	notifications_lost = 0;
	if (notification_context != NULL)
		MemoryContextReset(notification_context);
}

/* As rows of channel, payload and process; each is told once. */
aside_status
aside_host_notifications(void *sink)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		MemoryContext rows = AllocSetContextCreate(TopMemoryContext, "pg_aside notification rows",
												   ALLOCSET_DEFAULT_SIZES);
		MemoryContext old = MemoryContextSwitchTo(rows);
		TupleDesc	desc = CreateTemplateTupleDesc(3);
		ListCell   *cell;

		TupleDescInitBuiltinEntry(desc, 1, "channel", TEXTOID, -1, 0);
		TupleDescInitBuiltinEntry(desc, 2, "payload", TEXTOID, -1, 0);
		TupleDescInitBuiltinEntry(desc, 3, "pid", INT4OID, -1, 0);
		TupleDescFinalize(desc);
		if (!IsTransactionOrTransactionBlock())
			ProcessNotifyInterrupt(false);
		foreach(cell, notifications)
		{
			Notification *one = lfirst(cell);
			Datum		values[3] = {
				CStringGetTextDatum(one->channel), CStringGetTextDatum(one->payload), Int32GetDatum(one->pid)
			};
			bool		nulls[3] = {false};

			aside_send_values(sink, desc, values, nulls);
		}
		if (notifications_lost > 0)
			ereport(WARNING,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("notifications of an autonomous session were lost"),
					 errdetail_plural("%llu notification was dropped, as too many waited to be read.",
									  "%llu notifications were dropped, as too many waited to be read.",
									  (unsigned long) notifications_lost,
									  (unsigned long long) notifications_lost)));
		MemoryContextSwitchTo(old);
		MemoryContextDelete(rows);
		aside_forget_notifications();
	}
	ASIDE_END_TRY();
	return status;
}

/*
 * The server calls this from within its error reporting. An error here is
 * handled like an error in the server's own sending: whoever catches the
 * command's errors gets it.
 */
static int
put_message(char type, const char *data, size_t len)
{
	if (type == 'N' || (type == 'E' && !aside_only_logs))
		unpack(data, len);
	else if (type == 'A')
		keep_notification(data, len);
	return 0;
}

static void
put_message_noblock(char type, const char *data, size_t len)
{
	(void) PqCommMethods->putmessage(type, data, len);
}

static void
do_nothing(void)
{
}

static int
flush_nothing(void)
{
	return 0;
}

static bool
nothing_pending(void)
{
	return false;
}

/* From now on the server believes that it talks to a client. `put` gets its messages. */
void
aside_be_client(int (*put) (char type, const char *data, size_t len))
{
	static PQcommMethods methods = {
		.comm_reset = do_nothing,
		.flush = flush_nothing,
		.flush_if_writable = flush_nothing,
		.is_send_pending = nothing_pending,
		.putmessage_noblock = put_message_noblock,
	};

	methods.putmessage = put;
	PqCommMethods = &methods;
	whereToSendOutput = DestRemote;
	FrontendProtocol = PG_PROTOCOL_LATEST;
}

void
aside_relay_messages(const aside_worker_host *to)
{
	host = to;
	message_context = AllocSetContextCreate(TopMemoryContext, "pg_aside message", ALLOCSET_DEFAULT_SIZES);
	aside_be_client(put_message);
}
