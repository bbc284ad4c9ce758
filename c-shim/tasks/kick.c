/*
 * tasks/kick.c
 *	  Gives workers to queued tasks.
 */
#include "call/call.h"
#include "tasks/tasks.h"

/* Give workers to queued tasks. The process that calls this may have no other business with tasks. */
void
aside_kick_tasks(AsidePool *pool)
{
	if (!aside_find_tasks(pool, false))
		return;
	/* The core may launch a worker, for the pool that this process borrows from. */
	(void) aside_caller_pool(false);
	aside_tasks_kick(pool->handle, aside_get_caller_host(),
					 (int64) aside_task_retention * 1000);
}
