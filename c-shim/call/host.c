/*
 * call/host.c
 *	  The table of what the core may ask of a calling process.
 */
#include "call/call.h"
#include "coordinator/coordinator.h"
#include "tasks/tasks.h"

#include <signal.h>

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "replication/syncrep.h"
#include "storage/procarray.h"
#include "utils/acl.h"
#include "utils/syscache.h"

static aside_status
host_wait_slot(uint32_t timeout_ms)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		if (ConditionVariableTimedSleep(&aside_mapped_pool()->prefix->slot_free, timeout_ms,
										ASIDE_WAIT_EVENT("AsideWorkerSlot")))
			*status_ = ASIDE_TIMEOUT;
		CHECK_FOR_INTERRUPTS();
	}
	ASIDE_END_TRY();
	return status;
}

static void
host_end_wait_slot(void)
{
	ConditionVariableCancelSleep();
}

static void
host_signal_slot(void)
{
	ConditionVariableSignal(&aside_mapped_pool()->prefix->slot_free);
}

static void
host_interrupt(uint32_t pid, bool terminate)
{
	/* Never SIGKILL: the postmaster would restart the cluster. */
	if (BackendPidGetProc(pid) != NULL)
		(void) kill(pid, terminate ? SIGTERM : SIGINT);
}

static bool
host_alive(uint32_t pid)
{
	return BackendPidGetProc(pid) != NULL;
}

static aside_status
host_activity(uint32_t pid, aside_bytes *query)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		PGPROC	   *proc = BackendPidGetProc(pid);

		/*
		 * If the current user may not see that process's query, the server
		 * returns a text that says so. The query is in the encoding of that
		 * process's database.
		 */
		*query = aside_text_bytes(pgstat_get_backend_current_activity(pid, true));
		if (proc != NULL && proc->databaseId != MyDatabaseId)
			*query = aside_shown_bytes(*query, proc->databaseId);
	}
	ASIDE_END_TRY();
	return status == ASIDE_OK ? ASIDE_OK : ASIDE_GONE;
}

static aside_outcome
host_outcome(uint64_t xid)
{
	aside_status status = ASIDE_OK;
	aside_outcome outcome = ASIDE_UNKNOWN;
	volatile aside_outcome *result = &outcome;

	ASIDE_TRY(status);
	{
		if (!TransactionIdIsInProgress((TransactionId) xid))
			*result = TransactionIdDidCommit((TransactionId) xid) ? ASIDE_COMMITTED : ASIDE_ABORTED;
	}
	ASIDE_END_TRY();
	return status == ASIDE_OK ? outcome : ASIDE_UNKNOWN;
}

static aside_status
host_relay(const aside_report *message)
{
	aside_status status = ASIDE_OK;

	if (aside_rows != NULL && aside_rows->peek)
		return ASIDE_OK;
	ASIDE_TRY(status);
	{
		aside_raise_message(message);
	}
	ASIDE_END_TRY();
	return status;
}

/*
 * The wait for standbys, as the server does it at the end of a commit: a
 * cancel ends it with a WARNING, for nothing can undo the commit.
 */
static void
wait_for_standbys(XLogRecPtr position, int level)
{
	int			own_level = synchronous_commit;

	HOLD_INTERRUPTS();
	PG_TRY();
	{
		synchronous_commit = level;
		assign_synchronous_commit(level, NULL);
		SyncRepWaitForLSN(position, true);
	}
	PG_FINALLY();
	{
		synchronous_commit = own_level;
		assign_synchronous_commit(own_level, NULL);
	}
	PG_END_TRY();
	RESUME_INTERRUPTS();
}

static aside_status
host_await_commit(uint64_t position, uint32_t level)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		XLogFlush(position);
		if (level > SYNCHRONOUS_COMMIT_LOCAL_FLUSH)
			wait_for_standbys(position, level);
	}
	ASIDE_END_TRY();
	return status;
}

static aside_status
host_may_act_for(uint32_t role, bool *may)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		*may = GetUserId() == role || superuser() ||
			(SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)) && has_privs_of_role(GetUserId(), role));
	}
	ASIDE_END_TRY();
	return status;
}

const aside_caller_host *
aside_get_caller_host(void)
{
	static aside_caller_host host = {
		.launch = aside_launch_worker,
		.launch_failed = aside_launch_failed,
		.wait_slot = host_wait_slot,
		.end_wait_slot = host_end_wait_slot,
		.signal_slot = host_signal_slot,
		.interrupt = host_interrupt,
		.alive = host_alive,
		.make_room = aside_make_room,
		.lock_wait = aside_host_lock_wait,
		.blockers = aside_host_blockers,
		.pin_wait = aside_host_pin_wait,
		.group = aside_host_group,
		.activity = host_activity,
		.outcome = host_outcome,
		.relay = host_relay,
		.row = aside_host_row,
		.texts = aside_host_texts,
		.describe = aside_host_describe,
		.complete = aside_host_complete,
		.may_act_for = host_may_act_for,
		.write_file = aside_write_task_file,
		.read_file = aside_read_task_file,
		.drop_file = aside_drop_task_file,
		.write_down = aside_write_down_task,
		.await_commit = host_await_commit,
		.amend = aside_amend_error,
	};

	if (unlikely(host.world.abi_version == 0))
		aside_fill_world(&host.world);
	return &host;
}
