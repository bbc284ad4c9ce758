/*
 * module/launch.c
 *	  Starting a worker process, and where that process starts.
 */
#include "base/aside.h"

#include "access/xact.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

extern PGDLLEXPORT void aside_worker_main(Datum main_arg);

/* Handles of the workers that this process launched last, by slot. */
static BackgroundWorkerHandle **handles = NULL;

aside_status
aside_launch_worker(uint32_t slot, uint64_t generation, uint32_t database, uint32_t user,
					bool superuser)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		AsidePool  *pool = aside_caller_pool(false);
		AsideLaunch launch = {
			.generation = generation,
			.database = database,
			.user = user,
			.superuser = superuser,
			.segment = pool->segment,
		};
		BackgroundWorker worker = {
			.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
			.bgw_start_time = BgWorkerStart_ConsistentState,
			.bgw_restart_time = BGW_NEVER_RESTART,
			.bgw_main_arg = UInt32GetDatum(slot),
			.bgw_notify_pid = MyProcPid,
		};
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
		BackgroundWorkerHandle *handle = NULL;

		StaticAssertStmt(sizeof(launch) <= BGW_EXTRALEN, "launch must fit bgw_extra");
		memcpy(worker.bgw_extra, &launch, sizeof(launch));
		snprintf(worker.bgw_name, BGW_MAXLEN, "pg_aside worker %u", slot);
		strlcpy(worker.bgw_type, "pg_aside worker", BGW_MAXLEN);
		strlcpy(worker.bgw_library_name, "pg_aside", sizeof(worker.bgw_library_name));
		strlcpy(worker.bgw_function_name, "aside_worker_main", BGW_MAXLEN);
		if (handles == NULL)
			handles = palloc0(sizeof(BackgroundWorkerHandle *) * pool->slots);
		if (IsBinaryUpgrade)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("no worker of pg_aside is started while the server is upgraded")));
		if (!RegisterDynamicBackgroundWorker(&worker, &handle))
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

static void
leave_worker_pool(int code, Datum arg)
{
	aside_worker_exit(aside_worker_pool()->handle, aside_get_worker_host());
	/* Its place may be what a queued task waits for. */
	if (aside_worker_pool()->has_tasks)
		aside_kick_tasks(aside_worker_pool());
}

/*
 * A worker process.  The order matters: signals before anything can wait for
 * us, the exit callback before the slot is taken, the slot before the
 * connection, so that the caller learns why a connection failed.
 */
void
aside_worker_main(Datum main_arg)
{
	AsideLaunch launch;
	AsidePool  *pool;
	aside_status status;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	memcpy(&launch, MyBgworkerEntry->bgw_extra, sizeof(launch));
	CurrentResourceOwner = ResourceOwnerCreate(NULL, "pg_aside worker");
	if (!aside_attach_worker_pool(launch.segment))
		proc_exit(0);
	pool = aside_worker_pool();
	before_shmem_exit(leave_worker_pool, (Datum) 0);
	(void) aside_find_tasks(pool, false);
	if (aside_worker_attach(pool->handle, aside_get_worker_host(),
							DatumGetUInt32(main_arg), launch.generation) != ASIDE_OK)
		proc_exit(0);
	aside_relay_messages();
	BackgroundWorkerInitializeConnectionByOid(launch.database, launch.user, 0);
	/* The server goes by what it was at authentication, as it does for the caller. */
	if (aside_is_superuser(GetAuthenticatedUserId()) != launch.superuser)
	{
		/* The catalog is read in transactions only. */
		StartTransactionCommand();
		ereport(FATAL,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" became or ceased to be a superuser since this session began",
						GetUserNameFromId(launch.user, true)),
				 errhint("Connect again.")));
	}
	aside_remember_role_settings();
	process_session_preload_libraries();
	StartTransactionCommand();
	aside_have_port();
	CommitTransactionCommand();
	aside_watch_transactions();
	aside_watch_catalogs();
	status = aside_worker_run(pool->handle, aside_get_worker_host());
	if (status == ASIDE_PANIC)
		ereport(FATAL,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("internal error in a worker of pg_aside")));
	proc_exit(0);
}
