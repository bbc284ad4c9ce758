/*
 * relay.c
 *	  Messages of a worker on their way to its caller.
 *
 * The server believes that it talks to a client; the client is this file,
 * which unpacks each message and puts it on the worker's queue.  So the
 * caller's client_min_messages decides what is sent, as for any client.
 */
#include "aside.h"

/* Only a few declarations are wanted; the rest would need the Kerberos headers. */
#undef ENABLE_GSS
#undef ENABLE_SSPI
#include "libpq/libpq.h"
#include "libpq/pqmq.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"

static emit_log_hook_type prev_emit_log_hook = NULL;

/*
 * A command may have named a client's encoding, into which the server then
 * converts.  What is no text of ours any more cannot be converted back without
 * the risk of an error within an error: its bytes become question marks.
 */
static void
make_ours(char *text)
{
	if (text == NULL || pg_verify_mbstr(GetDatabaseEncoding(), text, strlen(text), true))
		return;
	for (; *text != '\0'; text++)
		if (IS_HIGHBIT_SET(*text))
			*text = '?';
}

static void
unpack(const char *data, size_t len)
{
	StringInfoData message = {.data = unconstify(char *, data), .len = len, .maxlen = -1};
	ErrorData	edata;
	aside_report report;

	pq_parse_errornotice(&message, &edata);
	if (pg_get_client_encoding() != GetDatabaseEncoding())
	{
		make_ours(edata.message);
		make_ours(edata.detail);
		make_ours(edata.hint);
		make_ours(edata.context);
	}
	aside_fill_report(&edata, &report);
	(void) aside_sink_message(aside_worker_pool()->handle, aside_get_worker_host(), &report);
}

/*
 * Called from within the server's error reporting.  An error here goes the way
 * of one in the server's own sending: to whoever catches the command's errors.
 */
static int
put_message(char type, const char *data, size_t len)
{
	if (type == 'N' || type == 'E')
		unpack(data, len);
	return 0;
}

static void
put_message_noblock(char type, const char *data, size_t len)
{
	(void) put_message(type, data, len);
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

/* What the caller's client is told is not for this worker's log as well: the caller logs it. */
static void
keep_out_of_log(ErrorData *edata)
{
	if (edata->elevel < ERROR && edata->output_to_client && debug_query_string != NULL)
		edata->output_to_server = false;
	else if (prev_emit_log_hook != NULL)
		prev_emit_log_hook(edata);
}

void
aside_relay_messages(void)
{
	static const PQcommMethods methods = {
		.comm_reset = do_nothing,
		.flush = flush_nothing,
		.flush_if_writable = flush_nothing,
		.is_send_pending = nothing_pending,
		.putmessage = put_message,
		.putmessage_noblock = put_message_noblock,
	};

	PqCommMethods = &methods;
	whereToSendOutput = DestRemote;
	FrontendProtocol = PG_PROTOCOL_LATEST;
	prev_emit_log_hook = emit_log_hook;
	emit_log_hook = keep_out_of_log;
}
