/*
 * call/pool.c
 *	  The pool that this process borrows workers from, until the process ends.
 */
#include "call/call.h"

#include "storage/ipc.h"

/* This process ends. It may have calls running, or workers of its own. */
static void
leave_pool(int code, Datum arg)
{
	AsidePool  *pool = aside_mapped_pool();

	aside_caller_exit(pool->handle, aside_get_caller_host());
	if (aside_worker_pool() == NULL && pool->segment != DSM_HANDLE_INVALID)
		aside_pool_close(pool->handle, aside_get_caller_host());
}

/* A worker borrows from the pool that it serves. NULL if this process uses no pool yet and shall not create one. */
AsidePool *
aside_caller_pool(bool create)
{
	static bool borrows = false;

	if (likely(borrows))
		return aside_mapped_pool();
	if (aside_mapped_pool() == NULL)
		aside_map_pool(create);
	if (aside_mapped_pool() == NULL)
		return NULL;
	before_shmem_exit(leave_pool, (Datum) 0);
	borrows = true;
	return aside_mapped_pool();
}
