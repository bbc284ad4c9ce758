/*
 * tasks/on_commit.c
 *	  Tasks that start when the transaction that asked for them commits.
 */
#include "call/call.h"
#include "tasks/tasks.h"

#include "access/xact.h"

/* Start the tasks that wait for this transaction's commit. The transaction may run in any process. */
static void
tasks_of_transaction(XactEvent event, void *arg)
{
	AsidePool  *pool = aside_caller_pool(false);

	if (pool == NULL || !aside_tasks_pending(pool->handle))
		return;
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			aside_tasks_transaction(pool->handle, aside_get_caller_host(), ASIDE_END_COMMIT, 0, 0);
			break;
		case XACT_EVENT_ABORT:
			aside_tasks_transaction(pool->handle, aside_get_caller_host(), ASIDE_END_ABORT, 0, 0);
			break;
		case XACT_EVENT_PRE_PREPARE:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot PREPARE a transaction that starts tasks when it commits"),
					 errhint("Commit it, or start its tasks with async_exec().")));
			break;
		default:
			break;
	}
}

static void
tasks_of_subtransaction(SubXactEvent event, SubTransactionId own, SubTransactionId parent, void *arg)
{
	AsidePool  *pool = aside_caller_pool(false);

	if (pool == NULL || !aside_tasks_pending(pool->handle))
		return;
	if (event == SUBXACT_EVENT_COMMIT_SUB)
		aside_tasks_transaction(pool->handle, aside_get_caller_host(), ASIDE_END_SUBCOMMIT, own, parent);
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		aside_tasks_transaction(pool->handle, aside_get_caller_host(), ASIDE_END_SUBABORT, own, parent);
}

void
aside_watch_submitter(void)
{
	static bool watching = false;

	if (watching)
		return;
	watching = true;
	RegisterXactCallback(tasks_of_transaction, NULL);
	RegisterSubXactCallback(tasks_of_subtransaction, NULL);
}
