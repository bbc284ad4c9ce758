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

#include "access/xact.h"
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
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

extern PGDLLEXPORT void aside_coordinator_main(Datum arg);
extern PGDLLEXPORT void aside_reserve_main(Datum arg);

/* A turn that begins this soon after the last one takes a breath first. */
#define BUSY_US 100
#define BREATH_US 200
#define LONG_BREATH_US 1000

/* After an error, the coordinator waits this long, twice as long each time. */
#define FIRST_PAUSE_MS 100
#define CLOSING_MS "200ms"
#define LOCK_PATIENCE "1s"
#define LONGEST_PAUSE_MS 10000

/* So long without an error, and it is over. */
#define CALM_US 2000000

/* The server starts one of the reserve anew only if it seems to have failed. */
static int	exit_code = 0;

/* A coordinator that sleeps ends in good order; what it does otherwise may last, and is broken off. */
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

static bool
has_extension(void)
{
	bool		has;

	StartTransactionCommand();
	has = OidIsValid(get_extension_oid("pg_aside", true));
	CommitTransactionCommand();
	return has;
}

static void
leave(aside_entry_state state)
{
	aside_coordinator_became(aside_event_registry, aside_own_entry, state, GetCurrentTimestamp());
	proc_exit(exit_code);
}

/* The partition that new events go to, and whether there is a handler or a schedule. */
static int
read_partition(bool *needed)
{
	int			partition = 0;
	bool		null;

	StartTransactionCommand();
	aside_begin_with_tables();
	/* Asked while the tables stay: as long as there is an extension, they are its own, and not somebody's who waited for it to go. */
	if (!OidIsValid(get_extension_oid("pg_aside", true)))
		leave(ASIDE_ENTRY_ABSENT);
	SetUserIdAndSecContext(aside_events_owner(), SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	PushActiveSnapshot(GetTransactionSnapshot());
	*needed = false;
	if (SPI_execute("SELECT partition, EXISTS (SELECT FROM aside.event_handler) OR EXISTS (SELECT FROM aside.schedule), greatest("
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
	PopActiveSnapshot();
	SPI_finish();
	CommitTransactionCommand();
	SetUserIdAndSecContext(GetOuterUserId(), 0);
	return partition;
}

static void
coordinator_leaves(int code, Datum arg)
{
	aside_coordinator_exit(aside_event_registry, aside_own_entry, GetCurrentTimestamp());
	aside_set_latch(aside_launcher_kick(aside_event_registry));
}

/* What workers run for it ends with it, and will not have been an attempt. */
static void
close_in_order(aside_coordinator *coordinator)
{
	aside_status status = ASIDE_OK;
	aside_call	limits;
	AsideRequest request = {.kind = ASIDE_KIND_ROUTINE, .command = aside_text_bytes("")};

	ASIDE_TRY(status);
	{
		/* Whoever ended it does not want to wait. */
		(void) set_config_option("lock_timeout", CLOSING_MS, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SET, true, 0, false);
		aside_fill_call(&request, &limits);
	}
	ASIDE_END_TRY();
	if (status == ASIDE_OK)
		status = aside_coordinator_close(coordinator, aside_caller_pool(true)->handle, aside_get_caller_host(),
										 aside_get_event_host(), &limits);
	if (status != ASIDE_OK)
		AbortOutOfAnyTransaction();
}

/*
 * Whatever the server or the database sets for its sessions, a coordinator
 * writes, waits for locks, and compiles nothing: without sequential scans a
 * plan over small tables looks so dear that each would be compiled.
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
	/* The record of an attempt is flushed before the attempt is made; no standby needs to have it first. */
	{"synchronous_commit", "local"},
#if PG_VERSION_NUM >= 170000
	{"transaction_timeout", "0"},
#endif
};

/* One turn; after an error that was said already, ever longer pauses until it is over. */
static int64
take_turn(aside_coordinator *coordinator)
{
	static int	pause = 0;
	static int	said = 0;
	static TimestampTz failed_at = 0;
	aside_status status = ASIDE_OK;
	int64_t		wait = 1000000;
	aside_call	limits;
	AsideRequest request = {.kind = ASIDE_KIND_ROUTINE, .command = aside_text_bytes("")};
	int64		paused = GetCurrentTimestamp() - failed_at;
	bool		heard = aside_receive_notifications();

	/* Who emits events meanwhile does not cut it short. */
	if (paused >= 0 && paused < (int64) pause * 1000)
		return (int64) pause * 1000 - paused;
	ASIDE_TRY(status);
	{
		aside_fill_call(&request, &limits);
	}
	ASIDE_END_TRY();
	if (status == ASIDE_OK)
		status = aside_coordinator_step(coordinator, aside_caller_pool(true)->handle, aside_get_caller_host(),
										aside_get_event_host(), &limits, &wait);
	aside_coordinator_fares(aside_event_registry, aside_own_entry, status == ASIDE_OK, GetCurrentTimestamp());
	if (status == ASIDE_OK)
	{
		pause = 0;
		/* What comes and goes is said once. */
		if (said != 0 && (paused < 0 || paused > CALM_US))
		{
			said = 0;
			ereport(LOG, (errmsg("coordinator of events works again")));
		}
		/* What was heard is out of the way. */
		return heard ? wait : FIRST_PAUSE_MS * 1000;
	}
	AbortOutOfAnyTransaction();
	if (aside_tables_replaced())
		leave(ASIDE_ENTRY_FAILED);
	if (!has_extension())
		leave(ASIDE_ENTRY_ABSENT);
	if (aside_kept_error() != NULL && aside_kept_error()->sqlerrcode != said)
	{
		said = aside_kept_error()->sqlerrcode;
		ereport(LOG,
				(errcode(said),
				 errmsg("coordinator of events failed: %s", aside_kept_error()->message)));
	}
	pause = pause == 0 ? FIRST_PAUSE_MS : Min(pause * 2, LONGEST_PAUSE_MS);
	failed_at = GetCurrentTimestamp();
	return (int64) pause * 1000;
}

static void
coordinate(const aside_order *order)
{
	aside_coordinator *coordinator;
	TimestampTz turned = 0;
	int64		wait;
	int			partition;
	bool		needed;

	aside_own_entry = order->entry;
	if (!aside_coordinator_attach(aside_event_registry, aside_own_entry, order->generation, MyProcPid, aside_proc_number(MyProc),
								  GetCurrentTimestamp()))
		proc_exit(exit_code);
	before_shmem_exit(coordinator_leaves, (Datum) 0);
	BackgroundWorkerInitializeConnectionByOid(order->database, InvalidOid, 0);
	for (int i = 0; i < lengthof(coordinator_settings); i++)
		(void) set_config_option(coordinator_settings[i][0], coordinator_settings[i][1], PGC_SUSET, PGC_S_SESSION,
								 GUC_ACTION_SET, true, 0, false);
	(void) set_config_option("client_encoding", GetDatabaseEncodingName(), PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SET,
							 true, 0, false);
	partition = read_partition(&needed);
	/* Who will leave at once need not be one of the reserve. */
	if (needed && aside_coordinator_cedes(aside_event_registry, aside_own_entry, GetCurrentTimestamp()))
		proc_exit(exit_code);
	/*
	 * What an earlier coordinator had begun may still commit: its events are
	 * given to nobody else before it is known whether it did.
	 */
	while (aside_pool_orphans(aside_caller_pool(true)->handle, MyDatabaseId) > 0)
	{
		aside_serve_signals();
		if (aside_coordinator_leaves(aside_event_registry, aside_own_entry, GetCurrentTimestamp()))
			leave(ASIDE_ENTRY_FAILED);
		aside_sleep_for(10000);
	}
	aside_start_listening();
	aside_set_current_partition(partition);
	coordinator = aside_coordinator_new(aside_event_registry, aside_own_entry, partition, GetCurrentTimestamp());
	aside_coordinator_became(aside_event_registry, aside_own_entry, ASIDE_ENTRY_RUNNING, GetCurrentTimestamp());
	/* Who waits for a lock does not listen: rather a pause, in which it does. */
	(void) set_config_option("lock_timeout", LOCK_PATIENCE, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SET, true, 0, false);
	pgstat_report_activity(STATE_IDLE, NULL);
	for (;;)
	{
		TimestampTz now = GetCurrentTimestamp();

		aside_serve_signals();
		if (to_end)
		{
			close_in_order(coordinator);
			proc_exit(exit_code);
		}
		if (aside_coordinator_leaves(aside_event_registry, aside_own_entry, now))
		{
			close_in_order(coordinator);
			leave(ASIDE_ENTRY_FAILED);
		}
		/* When there is always something, turns that take in several things at a time leave more to those who work. */
		if (now - turned < BUSY_US)
			pg_usleep(aside_coordinator_looked_in_vain(coordinator) ? LONG_BREATH_US : BREATH_US);
		wait = take_turn(coordinator);
		turned = GetCurrentTimestamp();
		if (aside_coordinator_rests(coordinator, turned))
			proc_exit(exit_code);
		sleeps = true;
		aside_sleep_for(wait);
		sleeps = false;
	}
}

void
aside_coordinator_main(Datum arg)
{
	aside_order order;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, end_in_order);
	BackgroundWorkerUnblockSignals();
	memcpy(&order, MyBgworkerEntry->bgw_extra, sizeof(order));
	coordinate(&order);
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
	aside_order order;

	exit_code = 1;
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	before_shmem_exit(reserve_leaves, place);
	aside_reserve_wait(aside_event_registry, DatumGetInt32(place), aside_proc_number(MyProc));
	/* There may be databases that wait for it. */
	aside_set_latch(aside_launcher_kick(aside_event_registry));
	while (!aside_reserve_take(aside_event_registry, DatumGetInt32(place), &order))
	{
		if (ShutdownRequestPending)
			proc_exit(exit_code);
		(void) aside_serve_signals();
		aside_sleep_for(60 * USECS_PER_SEC);
	}
	pqsignal(SIGTERM, end_in_order);
	/* The order is taken: who ends now must say so as a coordinator. */
	if (ShutdownRequestPending)
		ASIDE_DIE(SIGTERM);
	coordinate(&order);
}
