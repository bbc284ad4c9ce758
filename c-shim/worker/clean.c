/*
 * worker/clean.c
 *	  Cleans a worker after a request, so that its next tenant finds nothing
 *	  of the last one.
 */
#include "call/call.h"
#include "worker/worker.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "commands/async.h"
#include "commands/prepare.h"
#include "commands/sequence.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "replication/slot.h"
#include "storage/lock.h"
#include "tcop/tcopprot.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"

/* Each takes some 400 bytes. */
#define MOST_ROW_SHAPES 10000

/* Free what one command of a session needed. */
static void
end_command(void)
{
	debug_query_string = NULL;
	aside_command = NULL;
	if (aside_request_context != NULL)
		MemoryContextReset(aside_request_context);
}

static void
drop_temporary_tables(void)
{
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	ResetTempTableNamespace();
	PopActiveSnapshot();
	CommitTransactionCommand();
	aside_temp_touched = false;
}

/* Forget the replication origin that a tenant has set up, and the commit times that it has set. */
static void
forget_origin(void)
{
	LOCAL_FCINFO(fcinfo, 0);

	InitFunctionCallInfoData(*fcinfo, NULL, 0, InvalidOid, NULL, NULL);
	if (RecoveryInProgress() || !DatumGetBool(pg_replication_origin_session_is_setup(fcinfo)))
		return;
	(void) pg_replication_origin_session_reset(fcinfo);
	(void) pg_replication_origin_xact_reset(fcinfo);
}

static void
stop_listening(void)
{
	StartTransactionCommand();
	Async_UnlistenAll();
	CommitTransactionCommand();
	aside_forget_notifications();
}

/* The next tenant must find nothing of this one. */
aside_status
aside_host_clean(bool session_goes_on, bool *settings_intact)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		/* A cancel that comes too late must not keep anything from being cleaned. */
		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(TopMemoryContext);
		*settings_intact = true;
		if (session_goes_on)
			end_command();
		else
		{
			bool		was_session = aside_in_session;

			aside_in_session = false;
			debug_query_string = NULL;
			aside_command = NULL;
			if (was_session)
			{
				AbortOutOfAnyTransaction();
				stop_listening();
			}
			aside_sessions_end(aside_worker_pool()->handle, aside_get_caller_host());
			SetUserIdAndSecContext(GetOuterUserId(), 0);
			PortalHashTableDeleteAll();
			DropAllPreparedStatements();
			LockReleaseAll(USER_LOCKMETHOD, true);
			ResetSequenceCaches();
			aside_cleanup_replication_slots();
			forget_origin();
			/* random() may be predictable after a setseed(): seed it again. */
			(void) DirectFunctionCall1(setseed, Float8GetDatum(pg_prng_double(&pg_global_prng_state)));
			if (aside_temp_touched)
				drop_temporary_tables();
			if (aside_request_context != NULL)
				MemoryContextReset(aside_request_context);
			*settings_intact = aside_settings_intact();
			/* These states end with the process only. */
			if (get_backup_status() != SESSION_BACKUP_NONE || aside_row_shapes > MOST_ROW_SHAPES ||
				aside_worn_out)
				*status_ = ASIDE_LEAVE;
		}
		RESUME_INTERRUPTS();
	}
	ASIDE_END_TRY();
	return status;
}
