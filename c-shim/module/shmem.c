/*
 * module/shmem.c
 *	  Where pools lie: one in the server's shared memory when the module is
 *	  preloaded, else one in a segment of the session's own.
 *
 * A worker that itself makes a call borrows from the pool that it serves, so
 * the limits are of the cluster, or of the session, at any depth.
 */
#include "base/aside.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

/* Set in the postmaster, inherited by all. */
static void *shared_memory = NULL;
static uint32 shared_slots = 0;

/* Of tasks: in shared memory, or of the session whose pool this process uses. */
static void *task_table = NULL;
static Size task_table_size = 0;
static bool tasks_are_shared = false;

static AsidePool *caller_pool = NULL;
static AsidePool *worker_pool = NULL;

static Size
pool_size(uint32 slots)
{
	return ASIDE_PREFIX_SIZE + aside_pool_size(slots, (size_t) aside_queue_size * 1024);
}

static void
lay_out(char *memory, Size size, uint32 slots)
{
	uint8		key[16];

	memset(memory, 0, size);
	ConditionVariableInit(&((AsidePrefix *) memory)->slot_free);
	if (!pg_strong_random(key, sizeof(key)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random key for pg_aside")));
	if (aside_pool_init(memory + ASIDE_PREFIX_SIZE, size - ASIDE_PREFIX_SIZE, slots,
						(size_t) aside_queue_size * 1024, key) != ASIDE_OK)
		elog(ERROR, "could not lay out the shared memory of pg_aside");
}

static AsidePool *
map_pool(char *memory, Size size, dsm_handle segment)
{
	AsidePool  *pool = MemoryContextAllocZero(TopMemoryContext, sizeof(AsidePool));

	pool->handle = aside_pool_attach(memory + ASIDE_PREFIX_SIZE, size - ASIDE_PREFIX_SIZE);
	pool->prefix = (AsidePrefix *) memory;
	pool->segment = segment;
	if (pool->handle == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("shared memory of pg_aside was laid out by another version"),
				 errhint("Restart the server after replacing the module.")));
	pool->slots = aside_pool_slots(pool->handle);
	return pool;
}

static void
shmem_request(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(pool_size(aside_max_workers));
	RequestAddinShmemSpace(aside_tasks_size(aside_max_tasks, (size_t) aside_task_memory * 1024));
	RequestAddinShmemSpace(aside_registry_bytes());
}

/* The table of tasks of the cluster; a restarted server finds what it interrupted. */
static void
lay_out_tasks(void)
{
	bool		found;

	task_table_size = aside_tasks_size(aside_max_tasks, (size_t) aside_task_memory * 1024);
	task_table = ShmemInitStruct("pg_aside tasks", task_table_size, &found);
	tasks_are_shared = true;
	if (found)
		return;
	memset(task_table, 0, task_table_size);
	if (aside_tasks_init(task_table, task_table_size, aside_max_tasks, 0) != ASIDE_OK)
		elog(ERROR, "could not lay out the tasks of pg_aside");
	aside_recover_tasks(task_table, task_table_size, aside_max_tasks);
}

static void
shmem_startup(void)
{
	bool		found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();
	shared_slots = aside_max_workers;
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared_memory = ShmemInitStruct("pg_aside", pool_size(shared_slots), &found);
	if (!found)
		lay_out(shared_memory, pool_size(shared_slots), shared_slots);
	lay_out_tasks();
	aside_lay_out_registry();
	LWLockRelease(AddinShmemInitLock);
}

/* Called while the module is preloaded. */
void
aside_request_shmem(void)
{
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = shmem_request;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = shmem_startup;
}

bool
aside_tasks_are_shared(void)
{
	return tasks_are_shared;
}

static void
use_tasks(AsidePool *pool)
{
	if (!aside_tasks_attach(pool->handle, task_table, task_table_size))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("shared memory of pg_aside was laid out by another version"),
				 errhint("Restart the server after replacing the module.")));
	pool->has_tasks = true;
}

/*
 * Have this process see tasks: the cluster's, or those of the session that
 * has this pool, which are laid out when it makes the first one.  Ids of a
 * session's own begin with its process, so that they are told apart.
 */
bool
aside_find_tasks(AsidePool *pool, bool create)
{
	if (pool->has_tasks)
		return true;
	if (!tasks_are_shared && task_table == NULL)
	{
		dsm_segment *segment;

		if (pool->prefix->tasks != DSM_HANDLE_INVALID && pool->prefix->tasks != 0)
			segment = dsm_attach(pool->prefix->tasks);
		else if (create)
		{
			Size		size = aside_tasks_size(aside_max_tasks, (size_t) aside_task_memory * 1024);

			segment = dsm_create(size, 0);
			memset(dsm_segment_address(segment), 0, size);
			if (aside_tasks_init(dsm_segment_address(segment), size, aside_max_tasks,
								 (uint64) MyProcPid << 24) != ASIDE_OK)
				elog(ERROR, "could not lay out the tasks of pg_aside");
			pool->prefix->tasks = dsm_segment_handle(segment);
		}
		else
			return false;
		if (segment == NULL)
			return false;
		dsm_pin_mapping(segment);
		task_table = dsm_segment_address(segment);
		task_table_size = dsm_segment_map_length(segment);
	}
	use_tasks(pool);
	return true;
}

/* This process ends while it may have calls running, or workers of its own. */
static void
leave_caller_pool(int code, Datum arg)
{
	aside_caller_exit(caller_pool->handle, aside_get_caller_host());
	if (caller_pool != worker_pool && caller_pool->segment != DSM_HANDLE_INVALID)
		aside_pool_close(caller_pool->handle, aside_get_caller_host());
}

/*
 * The pool that this process borrows workers from.  NULL if it has none yet
 * and none is to be created.
 */
AsidePool *
aside_caller_pool(bool create)
{
	if (likely(caller_pool != NULL))
		return caller_pool;
	if (worker_pool != NULL)
		caller_pool = worker_pool;
	else if (shared_memory != NULL)
		caller_pool = map_pool(shared_memory, pool_size(shared_slots), DSM_HANDLE_INVALID);
	else if (create)
	{
		uint32		slots = aside_max_workers;
		Size		size = pool_size(slots);
		dsm_segment *segment = dsm_create(size, 0);

		lay_out(dsm_segment_address(segment), size, slots);
		caller_pool = map_pool(dsm_segment_address(segment), size, dsm_segment_handle(segment));
		dsm_pin_mapping(segment);
	}
	else
		return NULL;
	before_shmem_exit(leave_caller_pool, (Datum) 0);
	return caller_pool;
}

/* The pool that this process serves; NULL if it is no worker. */
AsidePool *
aside_worker_pool(void)
{
	return worker_pool;
}

/* Map the pool that a worker is to serve.  False: its session has gone. */
bool
aside_attach_worker_pool(dsm_handle handle)
{
	if (handle == DSM_HANDLE_INVALID)
		worker_pool = shared_memory == NULL ? NULL :
			map_pool(shared_memory, pool_size(shared_slots), DSM_HANDLE_INVALID);
	else
	{
		dsm_segment *segment = dsm_attach(handle);

		if (segment == NULL)
			return false;
		dsm_pin_mapping(segment);
		worker_pool = map_pool(dsm_segment_address(segment), dsm_segment_map_length(segment),
							   handle);
	}
	return worker_pool != NULL;
}
