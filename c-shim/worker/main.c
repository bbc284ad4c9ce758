/*
 * worker/main.c
 *	  Where a worker process starts, and how it leaves.
 */
#include "tasks/tasks.h"
#include "worker/worker.h"

#include "access/xact.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

extern PGDLLEXPORT void aside_worker_main(Datum main_arg);

static void
leave_worker_pool(int code, Datum arg)
{
	aside_worker_exit(aside_worker_pool()->handle, aside_get_worker_host());
	/* A queued task may wait for this worker's place. */
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
	if (!aside_map_worker_pool(launch.segment))
		proc_exit(0);
	pool = aside_worker_pool();
	before_shmem_exit(leave_worker_pool, (Datum) 0);
	(void) aside_find_tasks(pool, false);
	if (aside_worker_attach(pool->handle, aside_get_worker_host(),
							DatumGetUInt32(main_arg), launch.generation) != ASIDE_OK)
		proc_exit(0);
	aside_relay_messages(aside_get_worker_host());
	BackgroundWorkerInitializeConnectionByOid(launch.database, launch.user, 0);
	/* The server goes by whether the role was a superuser at authentication, for the caller as well. */
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
	aside_watch_commits();
	aside_watch_catalogs();
	status = aside_worker_run(pool->handle, aside_get_worker_host());
	if (status == ASIDE_PANIC)
		ereport(FATAL,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("internal error in a worker of pg_aside")));
	proc_exit(0);
}
