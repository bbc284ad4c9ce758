/*
 * worker/gate.c
 *	  The commit gate: before a worker's commit the core says whether it may
 *	  be, and after it the caller gets its answer.
 */
#include "module/module.h"
#include "worker/worker.h"

#include "access/xact.h"
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

static void
transaction_event(XactEvent event, void *arg)
{
	aside_pool *pool = aside_worker_pool()->handle;

	/* A process that exits commits nothing of its caller's: it drops its temporary tables, whatever the gate says. */
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
			break;
		case XACT_EVENT_COMMIT:
			/* A cancel that came during this commit may have been used up by its wait for a standby. */
			if (aside_gate_committed(pool))
			{
				QueryCancelPending = true;
				InterruptPending = true;
			}
			break;
		case XACT_EVENT_ABORT:
			aside_gate_aborted(pool);
			break;
		case XACT_EVENT_PRE_PREPARE:
			/* Until its very end nobody can finish the prepared transaction: the caller is told after it. */
			aside_last_commit = false;
			break;
		default:
			break;
	}
}

/* Of tables dropped or truncated: a tablespace, say, is empty only when they are gone. */
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
 * The server has made the commit visible and released its locks, and goes on
 * to clean up; nothing after this can undo it or be waited for.  A commit
 * within a procedure is not the end of its command: host_commit says which is.
 */
static void
resources_released(ResourceReleasePhase phase, bool commit, bool top_level, void *arg)
{
	if (phase != RESOURCE_RELEASE_AFTER_LOCKS || !aside_last_commit)
		return;
	if (!commit || !top_level || CurrentResourceOwner != TopTransactionResourceOwner)
		return;
	/* What others could still run into is gone before the caller goes on; some of it takes longer. */
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
