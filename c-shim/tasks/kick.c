/*
 * tasks/kick.c
 *	  Queued tasks get workers.
 */
#include "call/call.h"
#include "tasks/tasks.h"

/* Give workers to queued tasks, in a process that may have nothing else to do with them. */
void
aside_kick_tasks(AsidePool *pool)
{
	if (!aside_find_tasks(pool, false))
		return;
	/* It may launch a worker, which is the pool's that this process borrows from. */
	(void) aside_caller_pool(false);
	aside_tasks_kick(pool->handle, aside_get_caller_host(),
					 (int64) aside_task_retention * 1000);
}
