/*
 * worker/gate.c
 *	  The commit gate: before a worker commits, the core says whether it may;
 *	  after the commit, the caller gets its answer.
 */
#include "module/module.h"
#include "worker/worker.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/storage.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "utils/resowner.h"

/*
 * The commit gate.  The server calls this after deferred triggers have run;
 * an error raised here still aborts the transaction.
 */
static void
refuse_commit(void)
{
	if (aside_cancelled_by_deadlock(aside_worker_pool()->handle))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_DEADLOCK_DETECTED),
				 errmsg("deadlock detected")));
	ereport(ERROR,
			(errcode(ERRCODE_QUERY_CANCELED),
			 errmsg("canceling autonomous transaction because its caller has given up")));
}

static void
settle_task(aside_pool *pool)
{
	aside_status status = aside_settle_task(pool, aside_get_worker_host());

	if (status != ASIDE_OK)
		aside_refuse_reply(status);
}

/*
 * Where the caller waits for its commit, the server is told not to, from the
 * last moment before the commit record to the first one after it. Meanwhile
 * nothing reads the setting but the commit itself.
 */
static bool leaves_wait = false;
static int	wanted_level = 0;
static XLogRecPtr last_end = InvalidXLogRecPtr;

static void
leave_wait_to_caller(aside_pool *pool)
{
	if (aside_commit_wait != ASIDE_WAIT_CALLER || synchronous_commit <= SYNCHRONOUS_COMMIT_OFF ||
		!TransactionIdIsValid(GetTopTransactionIdIfAny()) || !aside_caller_waits(pool))
		return;
	leaves_wait = true;
	wanted_level = synchronous_commit;
	last_end = XactLastCommitEnd;
	synchronous_commit = SYNCHRONOUS_COMMIT_OFF;
}

static void
end_leaving(aside_pool *pool, bool committed)
{
	if (!leaves_wait)
		return;
	leaves_wait = false;
	synchronous_commit = wanted_level;
	if (committed && XactLastCommitEnd != last_end)
		aside_owe_commit(pool, XactLastCommitEnd, wanted_level);
}

static void
transaction_event(XactEvent event, void *arg)
{
	aside_pool *pool = aside_worker_pool()->handle;

	/*
	 * A process that exits commits nothing for its caller. It drops its
	 * temporary tables, whatever the gate says.
	 */
	if (proc_exit_inprogress && event != XACT_EVENT_ABORT)
		return;
	if ((MyXactFlags & XACT_FLAGS_ACCESSEDTEMPNAMESPACE) != 0)
		aside_temp_touched = true;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			settle_task(pool);
			if (aside_gate_pre_commit(pool, U64FromFullTransactionId(GetTopFullTransactionIdIfAny())) != ASIDE_OK)
				refuse_commit();
			leave_wait_to_caller(pool);
			break;
		case XACT_EVENT_COMMIT:
			end_leaving(pool, true);
			/* A cancel that came during this commit may have been used up by its wait for a standby. */
			if (aside_gate_committed(pool))
			{
				QueryCancelPending = true;
				InterruptPending = true;
			}
			break;
		case XACT_EVENT_ABORT:
			end_leaving(pool, false);
			aside_gate_aborted(pool);
			break;
		case XACT_EVENT_PRE_PREPARE:
			/*
			 * Nobody can finish the prepared transaction until PREPARE has
			 * ended. The caller gets its answer after that.
			 */
			aside_last_commit = false;
			break;
		default:
			break;
	}
}

/*
 * Does the transaction delete files of dropped or truncated tables? A
 * tablespace, for example, is empty only when they are gone.
 */
static bool
has_files_to_delete(void)
{
	AsideRelFile *files;
	int			count = smgrGetPendingDeletes(true, &files);

	if (count > 0)
		pfree(files);
	return count > 0;
}

/*
 * The server has made the commit visible and released its locks, and only
 * cleans up after this. Nothing can undo the commit any more, and nobody
 * waits for the rest. A commit within a procedure does not end its command;
 * aside_last_commit says which commit does.
 */
static void
resources_released(ResourceReleasePhase phase, bool commit, bool top_level, void *arg)
{
	if (phase != RESOURCE_RELEASE_AFTER_LOCKS || !aside_last_commit)
		return;
	if (!commit || !top_level || CurrentResourceOwner != TopTransactionResourceOwner)
		return;
	/*
	 * The caller must not go on before everything is gone that it could still
	 * meet. The answer then waits for the end of the transaction.
	 */
	if (has_files_to_delete())
		return;
	/* A session keeps its temporary tables and locks. */
	if (!aside_in_session)
	{
		if (aside_temp_touched)
			return;
		LockReleaseAll(USER_LOCKMETHOD, true);
	}
	aside_commit_settled(aside_worker_pool()->handle, aside_get_worker_host());
}

void
aside_watch_commits(void)
{
	RegisterXactCallback(transaction_event, NULL);
	RegisterResourceReleaseCallback(resources_released, NULL);
}
