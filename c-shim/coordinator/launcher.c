/*
 * coordinator/launcher.c
 *	  The launcher. It runs if the server has preloaded the module, once
 *	  recovery has ended.
 *
 * The launcher starts a coordinator in each database. A coordinator that finds
 * no extension in its database leaves at once. The launcher also looks for
 * queued tasks.
 */
#include "call/call.h"
#include "coordinator/coordinator.h"
#include "tasks/tasks.h"

#include <limits.h>

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "replication/walsender.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

extern PGDLLEXPORT void aside_launcher_main(Datum arg);

/* It looks for queued tasks this often. */
#define KICK_EVERY_US 1000000

/*
 * Call this while the server preloads the module. A process registered then
 * keeps its worker slot for as long as the server runs.
 */
void
aside_register_launcher(void)
{
	aside_register_process("pg_aside launcher", "aside_launcher_main", (Datum) 0);
	for (int i = 0; i < aside_reserved_coordinators; i++)
		aside_register_process("pg_aside coordinator", "aside_reserve_main", Int32GetDatum(i));
}

static int64_t
launcher_timestamp(void)
{
	return GetCurrentTimestamp();
}

/* aside.databases: * or a list of names. */
static bool
is_meant(const char *database, List *names)
{
	ListCell   *cell;

	foreach(cell, names)
		if (strcmp(lfirst(cell), "*") == 0 || strcmp(lfirst(cell), database) == 0)
			return true;
	return false;
}

static bool
launcher_databases(const uint32_t **databases, size_t *count)
{
	static MemoryContext context = NULL;
	aside_status status = ASIDE_OK;

	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "pg_aside databases", ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(context);
	ASIDE_TRY(status);
	{
		Relation	relation;
		TableScanDesc scan;
		HeapTuple	tuple;
		List	   *names = NIL;
		uint32	   *all;
		size_t		room = 64;
		size_t		found = 0;

		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		if (!SplitIdentifierString(MemoryContextStrdup(context, aside_databases), ',', &names))
			names = NIL;
		all = MemoryContextAlloc(context, sizeof(uint32) * room);
		relation = table_open(DatabaseRelationId, AccessShareLock);
		scan = table_beginscan_catalog(relation, 0, NULL);
		while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
		{
			Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);

			if (!database->datallowconn || database->datistemplate ||
				!is_meant(NameStr(database->datname), names))
				continue;
			if (found == room)
				all = repalloc(all, sizeof(uint32) * (room *= 2));
			all[found++] = database->oid;
		}
		table_endscan(scan);
		table_close(relation, AccessShareLock);
		PopActiveSnapshot();
		CommitTransactionCommand();
		*databases = all;
		*count = found;
	}
	ASIDE_END_TRY();
	if (status != ASIDE_OK)
		AbortOutOfAnyTransaction();
	return status == ASIDE_OK;
}

/*
 * A process holds a worker slot if it has a place among those of workers;
 * this is true in every supported version.
 */
static uint32_t
launcher_free_slots(void)
{
	int			end = MaxBackends - max_wal_senders;
	uint32_t	taken = 0;

	for (int i = end - max_worker_processes; i < end; i++)
		taken += ProcGlobal->allProcs[i].procLatch.owner_pid != 0;
	return max_worker_processes - taken;
}

static uint32_t
launcher_workers(void)
{
	return aside_pool_workers(aside_caller_pool(true)->handle);
}

static bool
launcher_start(const aside_assignment *assignment)
{
	BackgroundWorkerHandle *handle = NULL;
	bool		started = aside_start_process("pg_aside coordinator", "aside_coordinator_main",
											  BgWorkerStart_RecoveryFinished, (Datum) 0, assignment, sizeof(*assignment), &handle);

	if (handle != NULL)
		pfree(handle);
	return started;
}

static void
launcher_wake(uint32_t proc)
{
	aside_set_latch(proc);
}

static void
launcher_note(aside_launcher_note what)
{
	if (what == ASIDE_NOTE_NO_WORKER_SLOT)
		ereport(LOG,
				(errmsg("pg_aside has no worker slot for a coordinator of events"),
				 errhint("Consider increasing \"max_worker_processes\".")));
	else
		ereport(LOG,
				(errmsg("pg_aside knows too many databases"),
				 errhint("Name those whose events are to be handled in \"aside.databases\".")));
}

/* Handle signals, in a process of ours that runs no user's command. True: the settings were read again. */
bool
aside_serve_signals(void)
{
	/* What somebody wanted to cancel is over. */
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();
	if (!ConfigReloadPending)
		return false;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	return true;
}

void
aside_sleep_for(int64 us)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 Min(Max(1, us / 1000), INT_MAX), ASIDE_WAIT_EVENT("AsideIdle"));
	ResetLatch(MyLatch);
}

static void
launcher_leaves(int code, Datum arg)
{
	aside_launcher_attach(aside_event_registry, 0, -1);
}

static void
kick_tasks(void)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		aside_kick_tasks(aside_caller_pool(true));
	}
	ASIDE_END_TRY();
}

void
aside_launcher_main(Datum arg)
{
	static const aside_launcher_host host = {
		.abi_version = ASIDE_ABI_VERSION,
		.timestamp = launcher_timestamp,
		.databases = launcher_databases,
		.free_slots = launcher_free_slots,
		.workers = launcher_workers,
		.start = launcher_start,
		.wake = launcher_wake,
		.note = launcher_note,
	};

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	before_shmem_exit(launcher_leaves, (Datum) 0);
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	aside_launcher_attach(aside_event_registry, MyProcPid, aside_proc_number(MyProc));
	for (;;)
	{
		int64		wait;

		if (aside_serve_signals())
			(void) aside_launcher_kick(aside_event_registry);
		wait = aside_launcher_step(aside_event_registry, &host);
		/* A worker that ends a task looks for the next one. If no worker could, the launcher finds it. */
		kick_tasks();
		aside_sleep_for(Min(wait, KICK_EVERY_US));
	}
}
