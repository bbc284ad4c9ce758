/*
 * module/launch.c
 *	  Starts background processes: one configuration for workers, coordinators
 *	  and the launcher.
 */
#include "module/module.h"

#include "miscadmin.h"
#include "utils/memutils.h"

/* Handles of the workers that this process launched last, by slot. */
static BackgroundWorkerHandle **handles = NULL;

/* What all our processes have in common. type: as pg_stat_activity shows it. function: where the process starts. */
static void
describe_process(BackgroundWorker *worker, const char *type, const char *function)
{
	memset(worker, 0, sizeof(*worker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = BGW_NEVER_RESTART;
	worker->bgw_notify_pid = MyProcPid;
	strlcpy(worker->bgw_name, type, BGW_MAXLEN);
	strlcpy(worker->bgw_type, type, BGW_MAXLEN);
	strlcpy(worker->bgw_library_name, "pg_aside", sizeof(worker->bgw_library_name));
	strlcpy(worker->bgw_function_name, function, BGW_MAXLEN);
}

/* Register a process that lasts as long as the server. Call this while the server preloads the module. */
void
aside_register_process(const char *type, const char *function, Datum arg)
{
	BackgroundWorker worker;

	describe_process(&worker, type, function);
	worker.bgw_restart_time = 1;
	worker.bgw_notify_pid = 0;
	worker.bgw_main_arg = arg;
	RegisterBackgroundWorker(&worker);
}

/*
 * Start a process now. extra tells it what to do. False: there is no worker
 * slot for it.
 */
bool
aside_start_process(const char *type, const char *function, BgWorkerStartTime when, Datum arg,
					const void *extra, size_t length, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker;

	Assert(length <= BGW_EXTRALEN);
	describe_process(&worker, type, function);
	worker.bgw_start_time = when;
	worker.bgw_main_arg = arg;
	memcpy(worker.bgw_extra, extra, length);
	return RegisterDynamicBackgroundWorker(&worker, handle);
}

/* Start a worker for a slot of the pool that this process uses. */
aside_status
aside_launch_worker(uint32_t slot, uint64_t generation, uint32_t database, uint32_t user,
					bool superuser)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		AsidePool  *pool = aside_mapped_pool();
		AsideLaunch launch = {
			.generation = generation,
			.database = database,
			.user = user,
			.superuser = superuser,
			.segment = pool->segment,
		};
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
		BackgroundWorkerHandle *handle = NULL;

		StaticAssertStmt(sizeof(launch) <= BGW_EXTRALEN, "launch must fit bgw_extra");
		if (handles == NULL)
			handles = palloc0(sizeof(BackgroundWorkerHandle *) * pool->slots);
		if (IsBinaryUpgrade)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("no worker of pg_aside is started while the server is upgraded")));
		if (!aside_start_process("pg_aside worker", "aside_worker_main", BgWorkerStart_ConsistentState,
								 UInt32GetDatum(slot), &launch, sizeof(launch), &handle))
			*status_ = ASIDE_NO_WORKER_SLOT;
		else
		{
			if (handles[slot] != NULL)
				pfree(handles[slot]);
			handles[slot] = handle;
		}
		MemoryContextSwitchTo(old);
	}
	ASIDE_END_TRY();
	return status;
}

bool
aside_launch_failed(uint32_t slot)
{
	pid_t		pid;

	if (handles == NULL || handles[slot] == NULL)
		return true;
	return GetBackgroundWorkerPid(handles[slot], &pid) == BGWH_STOPPED;
}
