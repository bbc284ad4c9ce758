/*
 * coordinator/listen.c
 *	  A coordinator listens as a client would. The server's messages to that
 *	  client come here.
 */
#include "coordinator/coordinator.h"
#include "worker/worker.h"

#include "access/xact.h"
#include "commands/async.h"
#include "libpq/pqformat.h"
#include "storage/sinval.h"

/* Of the server's messages to its client, a coordinator keeps only notifications. */
static int
put_message(char type, const char *data, size_t len)
{
	if (type == 'A')
	{
		StringInfoData message = {.data = unconstify(char *, data), .len = len, .maxlen = -1};
		int			pid = pq_getmsgint(&message, 4);
		const char *channel = pq_getmsgrawstring(&message);

		aside_keep_notification(pid, channel, pq_getmsgrawstring(&message));
	}
	return 0;
}

void
aside_start_listening(void)
{
	aside_be_client(put_message);
}

/*
 * Receive what the server has for this coordinator. After an
 * error the rest stays for the next time.
 */
aside_status
aside_receive_notifications(void)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		if (notifyInterruptPending)
			ProcessNotifyInterrupt(false);
		if (catchupInterruptPending)
			ProcessCatchupInterrupt();
	}
	ASIDE_END_TRY();
	if (status != ASIDE_OK)
	{
		AbortOutOfAnyTransaction();
		notifyInterruptPending = true;
	}
	return status;
}
