/*
 * call/waits.c
 *	  What a process waits for, and which processes block it: locks, safe
 *	  snapshots, pins of buffers, and parallel workers.
 */
#include "call/call.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/buf_internals.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/predicate_internals.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#define WAIT_CLASS 0xFF000000U

/* The core borrows the result of the last call of aside_host_blockers from this memory. */
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
 * The rules are those of pg_blocking_pids(): a blocker holds a conflicting
 * lock, or waits for one further ahead in the queue. The leader stands for a
 * lock group.
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

/* 0: there is no such process, or it waits for nothing. */
static uint32
wait_event_of(uint32_t pid)
{
	PGPROC	   *proc = BackendPidGetProc(pid);

	return proc == NULL ? 0 : proc->wait_event_info;
}

/*
 * A process sets the start and the lock of its wait before it shows that it
 * waits. A process that blocks a safe snapshot blocks the next one, too.
 */
uint64_t
aside_host_lock_wait(uint32_t pid)
{
	PGPROC	   *proc = BackendPidGetProc(pid);
	uint32		wait = wait_event_of(pid);

	if (wait == WAIT_EVENT_SAFE_SNAPSHOT)
		return wait;
	if (proc == NULL || (wait & WAIT_CLASS) != PG_WAIT_LOCK)
		return 0;
	return Max(pg_atomic_read_u64(&proc->waitStart) ^ (uint64_t) (uintptr_t) proc->waitLock, 1);
}

static void
list_writers(uint32_t pid, aside_blocker *out, size_t *count)
{
	int		   *pids = palloc(sizeof(int) * MaxBackends);
	int			found = GetSafeSnapshotBlockingPids(pid, pids, MaxBackends);

	for (int i = 0; i < found; i++)
	{
		/* This is the PID of a prepared transaction. */
		if (pids[i] == 0)
			continue;
		out[*count].pid = pids[i];
		out[*count].wait = aside_text_bytes(psprintf("Process %u waits for a safe snapshot; blocked by the serializable transaction of process %d.",
													 pid, pids[i]));
		(*count)++;
	}
}

aside_status
aside_host_blockers(uint32_t pid, const aside_blocker **blockers, size_t *count)
{
	aside_status status = ASIDE_OK;

	if (aside_host_lock_wait(pid) == 0)
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
		found = palloc0(sizeof(aside_blocker) * (data->nlocks + MaxBackends));
		*count = 0;
		/* Other members of the lock group have waits of their own. */
		for (int i = 0; i < data->nprocs; i++)
			if (data->procs[i].pid == (int) pid)
				list_blockers(data, &data->procs[i], found, count);
		list_writers(pid, found, count);
		*blockers = found;
		MemoryContextSwitchTo(old);
	}
	ASIDE_END_TRY();
	return status;
}

/* Does it wait until nobody else pins a buffer? */
bool
aside_host_pin_wait(uint32_t pid)
{
	return (wait_event_of(pid) & WAIT_CLASS) == ASIDE_WAIT_BUFFER_PIN;
}

/*
 * The parallel workers that a process waits for. This reads without a lock,
 * so the answer may be outdated; the core asks twice.
 */
size_t
aside_host_group(uint32_t pid, uint32_t *members, size_t max)
{
	PGPROC	   *leader = BackendPidGetProc(pid);
	size_t		count = 0;

	if (leader == NULL || leader->lockGroupLeader != leader || (wait_event_of(pid) & WAIT_CLASS) != PG_WAIT_IPC)
		return 0;
	for (uint32 i = 0; i < ProcGlobal->allProcCount && count < max; i++)
	{
		PGPROC	   *proc = &ProcGlobal->allProcs[i];

		if (proc != leader && proc->lockGroupLeader == leader && proc->pid != 0)
			members[count++] = proc->pid;
	}
	return count;
}

/* The buffer that a process waits to be pinned by itself alone. */
static BufferDesc *
buffer_wanted(PGPROC *proc)
{
	/* A process that still waits is found at once. */
	static int	last = 0;

	for (int i = 0; i < NBuffers; i++)
	{
		int			at = (last + i) % NBuffers;
		BufferDesc *buffer = GetBufferDescriptor(at);

		if ((aside_buffer_state(buffer) & BM_PIN_COUNT_WAITER) != 0 &&
			buffer->wait_backend_pgprocno == (int) aside_proc_number(proc))
		{
			last = at;
			return buffer;
		}
	}
	return NULL;
}

/*
 * Only the buffer manager knows which processes have pinned a buffer. But a
 * second pin of the same process does not raise the buffer's count. So if the
 * count stays the same while this process pins the buffer several times more,
 * this process had pinned it before. Other processes that pin or unpin the
 * buffer at that moment make the answer no, until the next look.
 */
#define PROBES 3

static bool
is_pinned_here(BufferDesc *buffer)
{
	for (int i = 0; i < PROBES; i++)
	{
		uint32		before = BUF_STATE_GET_REFCOUNT(aside_buffer_state(buffer));
		uint32		with_ours;

		if (before < 2 || !aside_pin_again(buffer))
			return false;
		with_ours = BUF_STATE_GET_REFCOUNT(aside_buffer_state(buffer));
		ReleaseBuffer(BufferDescriptorGetBuffer(buffer));
		if (with_ours != before || BUF_STATE_GET_REFCOUNT(aside_buffer_state(buffer)) != before)
			return false;
	}
	return true;
}

static size_t
find_pin_waiters(uint32_t *waiters, size_t max)
{
	size_t		count = 0;

	for (uint32 i = 0; i < ProcGlobal->allProcCount && count < max; i++)
	{
		PGPROC	   *proc = &ProcGlobal->allProcs[i];
		BufferDesc *buffer;

		if (proc->pid == 0 || proc == MyProc || (proc->wait_event_info & WAIT_CLASS) != ASIDE_WAIT_BUFFER_PIN)
			continue;
		buffer = buffer_wanted(proc);
		if (buffer != NULL && is_pinned_here(buffer))
			waiters[count++] = proc->pid;
	}
	return count;
}

/*
 * Which processes wait for a buffer that this process has pinned? None if
 * this process has no transaction. None on a standby, which ends such waits
 * in its own way.
 */
size_t
aside_host_pins_wanted(uint32_t *waiters, size_t max)
{
	aside_status status = ASIDE_OK;
	volatile size_t count = 0;
	ResourceOwner owner = CurrentResourceOwner;

	if (TopTransactionResourceOwner == NULL || IsAbortedTransactionBlockState() || RecoveryInProgress())
		return 0;
	ASIDE_TRY(status);
	{
		if (CurrentResourceOwner == NULL)
			CurrentResourceOwner = TopTransactionResourceOwner;
		count = find_pin_waiters(waiters, max);
	}
	ASIDE_END_TRY();
	CurrentResourceOwner = owner;
	return status == ASIDE_OK ? count : 0;
}
