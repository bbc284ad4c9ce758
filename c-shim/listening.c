/*
 * listening.c
 *	  A coordinator listens as a client would: what the server sends it comes
 *	  here.
 */
#include "event.h"

#include "access/xact.h"
#include "commands/async.h"
#include "storage/sinval.h"

#undef ENABLE_GSS
#undef ENABLE_SSPI
#include "libpq/libpq.h"
#include "libpq/pqformat.h"
#include "tcop/tcopprot.h"

/* The server believes that it talks to a client; of what it says, notifications are heard. */
static int
put_message(char type, const char *data, size_t len)
{
	if (type == 'A')
	{
		StringInfoData message = {.data = unconstify(char *, data), .len = len, .maxlen = -1};
		int			pid = pq_getmsgint(&message, 4);
		const char *channel = pq_getmsgrawstring(&message);

		aside_hear(pid, channel, pq_getmsgrawstring(&message));
	}
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

void
aside_listen_to_server(void)
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
}

/* What the server has for it. After an error the rest is for the next time. */
bool
aside_hear_server(void)
{
	static bool failed = false;
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		if (notifyInterruptPending)
			ProcessNotifyInterrupt(false);
		if (catchupInterruptPending)
			ProcessCatchupInterrupt();
	}
	ASIDE_END_TRY();
	if (status == ASIDE_OK)
	{
		failed = false;
		return true;
	}
	AbortOutOfAnyTransaction();
	notifyInterruptPending = true;
	if (!failed && aside_kept_error() != NULL)
		ereport(LOG,
				(errcode(aside_kept_error()->sqlerrcode),
				 errmsg("coordinator of events failed: %s", aside_kept_error()->message)));
	failed = true;
	return false;
}
