/*
 * host_caller.c
 *	  What the caller's side of an autonomous transaction asks of its backend.
 */
#include "aside.h"

#include <signal.h>

#include "access/transam.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/procarray.h"

AsideRows  *aside_rows = NULL;

static aside_status
host_wait_slot(uint32_t timeout_ms)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		if (ConditionVariableTimedSleep(&aside_caller_pool(false)->prefix->slot_free, timeout_ms,
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
	ConditionVariableSignal(&aside_caller_pool(false)->prefix->slot_free);
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

/*
 * Look for a lock that process pid waits for and this process (or its lock
 * group) holds.  Describes the wait in the words of the server's deadlock
 * report.  Waits queued behind us do not count: we are not in any queue.
 */
static bool
describe_block(int pid, StringInfo detail)
{
	BlockedProcsData *data = GetBlockerStatusData(pid);
	int			me = MyProc->lockGroupLeader ? MyProc->lockGroupLeader->pid : MyProcPid;

	for (int i = 0; i < data->nprocs; i++)
	{
		BlockedProcData *blocked = &data->procs[i];
		LockInstanceData *instances = &data->locks[blocked->first_lock];
		LockInstanceData *wait = NULL;

		for (int j = 0; j < blocked->num_locks; j++)
			if (instances[j].pid == blocked->pid && instances[j].waitLockMode != NoLock)
				wait = &instances[j];
		if (wait == NULL)
			continue;
		for (int j = 0; j < blocked->num_locks; j++)
		{
			LockInstanceData *other = &instances[j];
			LockMethod	method = GetLockTagsMethodTable(&other->locktag);

			if (other->leaderPid != me ||
				(method->conflictTab[wait->waitLockMode] & other->holdMask) == 0)
				continue;
			appendStringInfo(detail, "Process %d waits for %s on ", blocked->pid,
							 GetLockmodeName(wait->locktag.locktag_lockmethodid,
											 wait->waitLockMode));
			DescribeLockTag(detail, &wait->locktag);
			appendStringInfo(detail, "; blocked by process %d.", MyProcPid);
			return true;
		}
	}
	return false;
}

static aside_status
host_blocked_by_me(uint32_t pid, aside_bytes *detail)
{
	aside_status status = ASIDE_GONE;
	PGPROC	   *proc = BackendPidGetProc(pid);

	/* A look without a lock tells whether it waits for one at all. */
	if (proc == NULL || (proc->wait_event_info & 0xFF000000) != PG_WAIT_LOCK)
		return ASIDE_GONE;
	ASIDE_TRY(status);
	{
		StringInfoData text;

		initStringInfo(&text);
		if (describe_block(pid, &text))
		{
			detail->data = (const uint8_t *) text.data;
			detail->len = text.len;
			*status_ = ASIDE_OK;
		}
	}
	ASIDE_END_TRY();
	return status;
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

	ASIDE_TRY(status);
	{
		aside_raise_message(message);
	}
	ASIDE_END_TRY();
	return status;
}

static aside_status
host_row(aside_bytes tuple)
{
	aside_status status = ASIDE_OK;

	if (aside_rows == NULL)
		return ASIDE_OK;
	ASIDE_TRY(status);
	{
		if (aside_rows->store == NULL)
			aside_rows->single = aside_copy_minimal_tuple((MinimalTuple) tuple.data);
		else
		{
			ExecStoreMinimalTuple((MinimalTuple) tuple.data, aside_rows->slot, false);
			tuplestore_puttupleslot(aside_rows->store, aside_rows->slot);
		}
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
		.blocked_by_me = host_blocked_by_me,
		.outcome = host_outcome,
		.relay = host_relay,
		.row = host_row,
		.fail = aside_keep_report,
		.amend = aside_amend_error,
	};

	if (unlikely(host.world.abi_version == 0))
		aside_fill_world(&host.world);
	return &host;
}
