/*
 * coordinator/process.c
 *	  A coordinator: in its database it listens, reads events, and has
 *	  workers handle them.
 *
 * Some of these processes are a reserve: registered when the server starts,
 * they wait for the launcher to say which database is theirs.
 */
#include "call/call.h"
#include "coordinator/coordinator.h"
#include "coordinator/work.h"
#include "events/events.h"
#include "jobs/jobs.h"
#include "schedules/schedules.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "libpq/pqsignal.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/ps_status.h"
#include "utils/timestamp.h"

extern PGDLLEXPORT void aside_coordinator_main(Datum arg);
extern PGDLLEXPORT void aside_reserve_main(Datum arg);

#define LOCK_PATIENCE "1s"

/* The server starts a process of the reserve anew only if its exit code says that it failed. */
static int	exit_code = 0;

/* A coordinator that sleeps ends in good order. Anything else that it does may last, so it is broken off. */
static volatile sig_atomic_t sleeps = false;
static volatile sig_atomic_t to_end = false;

static void
end_in_order(SIGNAL_ARGS)
{
	int			save_errno = errno;

	if (sleeps)
	{
		to_end = true;
		SetLatch(MyLatch);
	}
	else
		ASIDE_DIE_IN_HANDLER();
	errno = save_errno;
}

/* The tables of another version are not what the coordinator takes them for. */
static void
check_extension_version(void)
{
	char	   *version;

	if (SPI_execute("SELECT extversion FROM pg_catalog.pg_extension WHERE extname OPERATOR(pg_catalog.=) 'pg_aside'", true, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		return;
	version = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (strcmp(version, ASIDE_VERSION) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension pg_aside is of version %s in database \"%s\", and its module of version %s",
						version, get_database_name(MyDatabaseId), ASIDE_VERSION),
				 errhint("Run ALTER EXTENSION pg_aside UPDATE in that database. If the module was replaced since the server started, restart the server first.")));
}

/* The partition that new events go to, and whether there is a handler, a schedule or a job that goes on. */
static int
read_partition(bool *needed)
{
	int			partition = 0;
	bool		null;

	StartTransactionCommand();
	set_ps_display(get_database_name(MyDatabaseId));
	aside_begin_with_tables();
	/*
	 * This looks while it holds the tables. As long as the extension exists
	 * the tables are its own, and not those of a user who waited for it to be
	 * dropped.
	 */
	if (!OidIsValid(get_extension_oid("pg_aside", true)))
	{
		aside_coordinator_became(aside_event_registry, aside_own_entry, ASIDE_ENTRY_ABSENT, GetCurrentTimestamp());
		proc_exit(exit_code);
	}
	aside_enter_work();
	check_extension_version();
	*needed = false;
	if (SPI_execute("SELECT partition, EXISTS (SELECT FROM aside.event_handler) OR EXISTS (SELECT FROM aside.schedule) OR "
					"EXISTS (SELECT FROM aside.parallel_job WHERE state = 'running'), greatest("
					"(SELECT max(id) FROM aside.event_0), (SELECT max(id) FROM aside.event_1), (SELECT max(id) FROM aside.event_2), "
					"(SELECT max(id) FROM aside.event_dead), (SELECT max(since) FROM aside.event_handler)) FROM aside.event_control",
					true, 1) == SPI_OK_SELECT &&
		SPI_processed == 1)
	{
		Datum		highest = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3, &null);

		if (!null)
			(void) aside_raise_event_id(aside_event_tables().sequence, DatumGetInt64(highest));
		partition = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null));
		*needed = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &null));
	}
	aside_end_work();
	return partition;
}

static void
coordinator_leaves(int code, Datum arg)
{
	aside_coordinator_exit(aside_event_registry, aside_own_entry, GetCurrentTimestamp());
	aside_set_latch(aside_launcher_kick(aside_event_registry));
}

/*
 * Whatever the server or the database sets for sessions, a coordinator must
 * be able to write, wait for locks, and do without JIT: without sequential
 * scans, a plan over small tables looks so expensive that the server would
 * compile each.
 */
static const char *const coordinator_settings[][2] = {
	{"search_path", "pg_catalog, pg_temp"},
	{"enable_seqscan", "off"},
	{"max_parallel_workers_per_gather", "0"},
	{"jit", "off"},
	{"default_transaction_read_only", "off"},
	{"default_transaction_isolation", "read committed"},
	{"lock_timeout", "0"},
	{"temp_file_limit", "-1"},
	/* The record of an attempt is flushed before the attempt begins. No standby needs to have it first. */
	{"synchronous_commit", "local"},
#if PG_VERSION_NUM >= 170000
	{"transaction_timeout", "0"},
#endif
};

static void
coordinate(const aside_assignment *assignment)
{
	aside_coordinator *coordinator;
	int64_t		wait;
	int			partition;
	bool		needed;

	aside_own_entry = assignment->entry;
	if (!aside_coordinator_attach(aside_event_registry, aside_own_entry, assignment->generation, MyProcPid, aside_proc_number(MyProc),
								  GetCurrentTimestamp()))
		proc_exit(exit_code);
	before_shmem_exit(coordinator_leaves, (Datum) 0);
	BackgroundWorkerInitializeConnectionByOid(assignment->database, InvalidOid, 0);
	for (int i = 0; i < lengthof(coordinator_settings); i++)
		(void) set_config_option(coordinator_settings[i][0], coordinator_settings[i][1], PGC_SUSET, PGC_S_SESSION,
								 GUC_ACTION_SET, true, 0, false);
	(void) set_config_option("client_encoding", GetDatabaseEncodingName(), PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SET,
							 true, 0, false);
	partition = read_partition(&needed);
	aside_start_listening();
	aside_set_current_partition(partition);
	coordinator = aside_coordinator_new(aside_event_registry, aside_own_entry, partition, needed, GetCurrentTimestamp());
	/*
	 * A coordinator that waits for a lock does not listen. It gives up the
	 * wait instead, and listens during the pause.
	 */
	(void) set_config_option("lock_timeout", LOCK_PATIENCE, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SET, true, 0, false);
	pgstat_report_activity(STATE_IDLE, NULL);
	for (;;)
	{
		aside_serve_signals();
		if (!aside_coordinator_turn(coordinator, aside_caller_pool(true)->handle, aside_get_caller_host(),
									aside_get_coordinator_host(), aside_get_event_host(), aside_get_schedule_host(), aside_get_job_host(),
									to_end, &wait))
			proc_exit(exit_code);
		sleeps = true;
		aside_sleep_for(wait);
		sleeps = false;
	}
}

void
aside_coordinator_main(Datum arg)
{
	aside_assignment assignment;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, end_in_order);
	BackgroundWorkerUnblockSignals();
	memcpy(&assignment, MyBgworkerEntry->bgw_extra, sizeof(assignment));
	coordinate(&assignment);
}

static void
reserve_leaves(int code, Datum place)
{
	aside_reserve_leave(aside_event_registry, DatumGetInt32(place), GetCurrentTimestamp());
	aside_set_latch(aside_launcher_kick(aside_event_registry));
}

/* It is connected to nothing while it waits. */
void
aside_reserve_main(Datum place)
{
	aside_assignment assignment;

	exit_code = 1;
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	before_shmem_exit(reserve_leaves, place);
	aside_reserve_wait(aside_event_registry, DatumGetInt32(place), aside_proc_number(MyProc));
	/* There may be databases that wait for it. */
	aside_set_latch(aside_launcher_kick(aside_event_registry));
	while (!aside_reserve_take(aside_event_registry, DatumGetInt32(place), &assignment))
	{
		if (ShutdownRequestPending)
			proc_exit(exit_code);
		(void) aside_serve_signals();
		aside_sleep_for(60 * USECS_PER_SEC);
	}
	pqsignal(SIGTERM, end_in_order);
	/* The assignment has been taken. A process that ends now must end as a coordinator. */
	if (ShutdownRequestPending)
		ASIDE_DIE(SIGTERM);
	coordinate(&assignment);
}
