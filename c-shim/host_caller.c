/*
 * host_caller.c
 *	  What the caller's side of an autonomous transaction asks of its backend.
 */
#include "aside.h"

#include <signal.h>

#include "access/transam.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/procarray.h"
#include "utils/acl.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

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

/* What the last call of host_blockers lent. */
static MemoryContext blockers_context = NULL;

static bool
is_ahead(const BlockedProcsData *data, const BlockedProcData *blocked, int pid)
{
	for (int i = 0; i < blocked->num_waiters; i++)
		if (data->waiter_pids[blocked->first_waiter + i] == pid)
			return true;
	return false;
}

static aside_bytes
describe_wait(const LockInstanceData *wait, int pid, int blocker)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "Process %d waits for %s on ", pid,
					 GetLockmodeName(wait->locktag.locktag_lockmethodid, wait->waitLockMode));
	DescribeLockTag(&text, &wait->locktag);
	appendStringInfo(&text, "; blocked by process %d.", blocker);
	return aside_text_bytes(text.data);
}

/*
 * The rules are those of pg_blocking_pids: who holds a conflicting lock, or
 * waits for one further ahead in the queue; a lock group is its leader.
 */
static void
list_blockers(const BlockedProcsData *data, const BlockedProcData *blocked,
			  aside_blocker *out, size_t *count)
{
	LockInstanceData *locks = &data->locks[blocked->first_lock];
	LockInstanceData *wait = NULL;
	int			conflicts;

	for (int i = 0; i < blocked->num_locks; i++)
		if (locks[i].pid == blocked->pid && locks[i].waitLockMode != NoLock)
			wait = &locks[i];
	if (wait == NULL)
		return;
	conflicts = GetLockTagsMethodTable(&wait->locktag)->conflictTab[wait->waitLockMode];
	for (int i = 0; i < blocked->num_locks; i++)
	{
		LockInstanceData *other = &locks[i];
		bool		holds = (conflicts & other->holdMask) != 0;
		bool		wants = other->waitLockMode != NoLock &&
			(conflicts & LOCKBIT_ON(other->waitLockMode)) != 0;

		if (other == wait || other->leaderPid == wait->leaderPid ||
			!(holds || (wants && is_ahead(data, blocked, other->pid))))
			continue;
		out[*count].pid = other->leaderPid;
		out[*count].wait = describe_wait(wait, blocked->pid, other->leaderPid);
		(*count)++;
	}
}

/* A process tells of its wait after it has said since when, and for which lock. */
static uint64_t
host_lock_wait(uint32_t pid)
{
	PGPROC	   *proc = BackendPidGetProc(pid);

	if (proc == NULL || (proc->wait_event_info & 0xFF000000) != PG_WAIT_LOCK)
		return 0;
	return Max(pg_atomic_read_u64(&proc->waitStart) ^ (uint64_t) (uintptr_t) proc->waitLock, 1);
}

static aside_status
host_blockers(uint32_t pid, const aside_blocker **blockers, size_t *count)
{
	aside_status status = ASIDE_OK;

	if (host_lock_wait(pid) == 0)
		return ASIDE_GONE;
	ASIDE_TRY(status);
	{
		MemoryContext old;
		BlockedProcsData *data;
		aside_blocker *found;

		if (blockers_context == NULL)
			blockers_context = AllocSetContextCreate(TopMemoryContext, "pg_aside blockers",
													 ALLOCSET_DEFAULT_SIZES);
		MemoryContextReset(blockers_context);
		old = MemoryContextSwitchTo(blockers_context);
		data = GetBlockerStatusData(pid);
		found = palloc0(sizeof(aside_blocker) * Max(data->nlocks, 1));
		*count = 0;
		for (int i = 0; i < data->nprocs; i++)
			list_blockers(data, &data->procs[i], found, count);
		*blockers = found;
		MemoryContextSwitchTo(old);
	}
	ASIDE_END_TRY();
	return status;
}

static aside_status
host_activity(uint32_t pid, aside_bytes *query)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		/* Of others it says only that this user may not know. */
		*query = aside_text_bytes(pgstat_get_backend_current_activity(pid, true));
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

/* The result that follows is the one that is kept. */
static aside_status
host_describe(const aside_column *columns, size_t count)
{
	aside_status status = ASIDE_OK;

	if (aside_rows == NULL || aside_rows->store == NULL)
		return ASIDE_OK;
	ASIDE_TRY(status);
	{
		MemoryContext old = MemoryContextSwitchTo(aside_rows->context);
		TupleDesc	desc = CreateTemplateTupleDesc(count);

		aside_rows->fresh = false;
		aside_rows->styles = palloc0(sizeof(uint32) * Max(count, 1));
		for (size_t i = 0; i < count; i++)
		{
			const aside_column *column = &columns[i];

			TupleDescInitEntry(desc, i + 1, pnstrdup((const char *) column->name.data, column->name.len),
							   column->type, column->typmod, 0);
			aside_rows->styles[i] = column->by_text;
		}
		TupleDescFinalize(desc);
		if (aside_rows->slot != NULL)
			ExecDropSingleTupleTableSlot(aside_rows->slot);
		aside_rows->slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
		aside_rows->described = desc;
		tuplestore_clear(aside_rows->store);
		MemoryContextSwitchTo(old);
	}
	ASIDE_END_TRY();
	return status;
}

static aside_status
host_complete(const aside_ending *ending)
{
	aside_status status = ASIDE_OK;

	if (aside_rows == NULL || aside_rows->store == NULL)
		return ASIDE_OK;
	ASIDE_TRY(status);
	{
		MemoryContext old = MemoryContextSwitchTo(aside_rows->context);

		if (aside_rows->fresh)
			aside_rows->tags = lappend(aside_rows->tags, pnstrdup(ending->tag, ending->tag_len));
		aside_rows->fresh = true;
		MemoryContextSwitchTo(old);
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
		.lock_wait = host_lock_wait,
		.blockers = host_blockers,
		.activity = host_activity,
		.outcome = host_outcome,
		.relay = host_relay,
		.row = host_row,
		.describe = host_describe,
		.complete = host_complete,
		.may_act_for = host_may_act_for,
		.write_file = aside_write_task_file,
		.read_file = aside_read_task_file,
		.drop_file = aside_drop_task_file,
		.write_down = aside_write_down_task,
		.amend = aside_amend_error,
	};

	if (unlikely(host.world.abi_version == 0))
		aside_fill_world(&host.world);
	return &host;
}
