/*
 * module/shmem.c
 *	  The memory that processes of pg_aside share, and the one pool of workers
 *	  that a process uses.
 *
 * If the server preloads the module, three areas lie in the server's shared
 * memory: the pool, the tasks, and the registry of coordinators. Otherwise the
 * first session that calls creates a segment for its pool, and another one for
 * its tasks when it starts the first task; its workers attach both.
 *
 * A worker that itself makes a call borrows from the pool that it serves. So
 * the limits hold for the cluster, or for the session, at any depth.
 */
#include "tasks/tasks.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

/* An area of shared memory. lay_out() gets memory that is zero. */
typedef struct Area
{
	const char *name;
	Size		(*size) (void);
	void		(*lay_out) (void *memory, Size size);
	void	   *memory;			/* NULL: this process does not see it */
	Size		mapped;
} Area;

static Size pool_size(void);
static Size tasks_size(void);
static Size registry_size(void);
static void lay_out_pool(void *memory, Size size);
static void lay_out_tasks(void *memory, Size size);
static void lay_out_registry(void *memory, Size size);

/* The postmaster maps the server's areas, and all processes inherit them. */
static Area pool_area = {"pg_aside", pool_size, lay_out_pool};
static Area tasks_area = {"pg_aside tasks", tasks_size, lay_out_tasks};
static Area registry_area = {"pg_aside coordinators", registry_size, lay_out_registry};

static bool preloaded = false;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

static AsidePool *pool = NULL;
static bool is_worker = false;

aside_registry *aside_event_registry = NULL;

static Size
pool_size(void)
{
	return ASIDE_PREFIX_SIZE + aside_pool_size(aside_max_workers, (size_t) aside_queue_size * 1024);
}

static Size
tasks_size(void)
{
	return aside_tasks_size(aside_max_tasks, (size_t) aside_task_memory * 1024);
}

static Size
registry_size(void)
{
	return aside_registry_size();
}

static void
lay_out_pool(void *memory, Size size)
{
	uint8		key[16];

	ConditionVariableInit(&((AsidePrefix *) memory)->slot_free);
	if (!pg_strong_random(key, sizeof(key)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random key for pg_aside")));
	if (aside_pool_init((char *) memory + ASIDE_PREFIX_SIZE, size - ASIDE_PREFIX_SIZE, aside_max_workers,
						(size_t) aside_queue_size * 1024, key) != ASIDE_OK)
		elog(ERROR, "could not lay out the shared memory of pg_aside");
}

/*
 * The ids of a session's own tasks begin with its PID, so that those of
 * several sessions differ. A server that restarts finds out which tasks it
 * has interrupted.
 */
static void
lay_out_tasks(void *memory, Size size)
{
	if (aside_tasks_init(memory, size, aside_max_tasks, preloaded ? 0 : (uint64) MyProcPid << 24) != ASIDE_OK)
		elog(ERROR, "could not lay out the tasks of pg_aside");
	if (preloaded)
		aside_recover_tasks(memory, size, aside_max_tasks);
}

static void
lay_out_registry(void *memory, Size size)
{
	if (!aside_registry_init(memory, size))
		elog(ERROR, "could not lay out the coordinators of pg_aside");
}

static void
lay_out(Area *area)
{
	memset(area->memory, 0, area->mapped);
	area->lay_out(area->memory, area->mapped);
}

static void
map_shared(Area *area)
{
	bool		found;

	area->mapped = area->size();
	area->memory = ShmemInitStruct(area->name, area->mapped, &found);
	if (!found)
		lay_out(area);
}

static dsm_segment *
map_segment(Area *area, dsm_segment *segment)
{
	dsm_pin_mapping(segment);
	area->memory = dsm_segment_address(segment);
	area->mapped = dsm_segment_map_length(segment);
	return segment;
}

/* This session's own. */
static dsm_handle
create_segment(Area *area)
{
	Size		size = area->size();
	dsm_segment *segment = map_segment(area, dsm_create(size, 0));

	area->mapped = size;
	lay_out(area);
	return dsm_segment_handle(segment);
}

/* False: the session whose it was has gone. */
static bool
attach_segment(Area *area, dsm_handle handle)
{
	dsm_segment *segment = dsm_attach(handle);

	if (segment != NULL)
		(void) map_segment(area, segment);
	return segment != NULL;
}

static void
shmem_request(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(pool_area.size());
	RequestAddinShmemSpace(tasks_area.size());
	RequestAddinShmemSpace(registry_area.size());
}

static void
shmem_startup(void)
{
	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	map_shared(&pool_area);
	map_shared(&tasks_area);
	map_shared(&registry_area);
	aside_event_registry = aside_registry_attach(registry_area.memory, registry_area.mapped);
	LWLockRelease(AddinShmemInitLock);
}

/* Called while the module is preloaded. */
void
aside_request_shmem(void)
{
	preloaded = true;
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = shmem_request;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = shmem_startup;
}

/* Has the server one pool for all, and not each session its own? */
bool
aside_is_shared(void)
{
	return preloaded;
}

/* The core attaches only what was laid out by its own version. */
static void
check_version(bool attached)
{
	if (!attached)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("shared memory of pg_aside was laid out by another version"),
				 errhint("Restart the server after replacing the module.")));
}

/* segment: DSM_HANDLE_INVALID where the pool is the server's. */
static void
use_pool(dsm_handle segment)
{
	AsidePool  *mapped = MemoryContextAllocZero(TopMemoryContext, sizeof(AsidePool));
	char	   *memory = pool_area.memory;

	mapped->handle = aside_pool_attach(memory + ASIDE_PREFIX_SIZE, pool_area.mapped - ASIDE_PREFIX_SIZE);
	check_version(mapped->handle != NULL);
	mapped->prefix = (AsidePrefix *) memory;
	mapped->segment = segment;
	mapped->slots = aside_pool_slots(mapped->handle);
	pool = mapped;
}

/* The pool that this process uses; NULL if it uses none yet. */
AsidePool *
aside_mapped_pool(void)
{
	return pool;
}

/* The pool that this process serves; NULL if it is no worker. */
AsidePool *
aside_worker_pool(void)
{
	return is_worker ? pool : NULL;
}

/* A process that is no worker: map the server's pool, or, if one is to be created, this session's own. */
void
aside_map_pool(bool create)
{
	if (preloaded)
		use_pool(DSM_HANDLE_INVALID);
	else if (create)
		use_pool(create_segment(&pool_area));
}

/* Map the pool that a worker is to serve.  False: its session has gone. */
bool
aside_map_worker_pool(dsm_handle segment)
{
	if (segment == DSM_HANDLE_INVALID ? !preloaded : !attach_segment(&pool_area, segment))
		return false;
	use_pool(segment);
	is_worker = true;
	return true;
}

/*
 * Have this process see tasks: the server's, or those of the session that has
 * this pool, which are laid out when it makes the first one.
 */
bool
aside_find_tasks(AsidePool *of, bool create)
{
	if (of->has_tasks)
		return true;
	if (tasks_area.memory == NULL)
	{
		if (of->prefix->tasks != DSM_HANDLE_INVALID && of->prefix->tasks != 0)
		{
			if (!attach_segment(&tasks_area, of->prefix->tasks))
				return false;
		}
		else if (create)
			of->prefix->tasks = create_segment(&tasks_area);
		else
			return false;
	}
	check_version(aside_tasks_attach(of->handle, tasks_area.memory, tasks_area.mapped));
	of->has_tasks = true;
	return true;
}
