/*
 * launcher.c
 *	  The launcher, the coordinators, and what others say to them.
 *
 * The launcher is there when the server has been preloaded with the module
 * and does not recover any more; it starts a coordinator in each database,
 * and one that finds no extension there leaves at once.  A coordinator
 * listens, reads events, and has workers handle them.
 */
#include "event.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_database.h"
#include "commands/async.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "funcapi.h"
#include "executor/spi.h"
#undef ENABLE_GSS
#undef ENABLE_SSPI
#include "libpq/libpq.h"
#include "libpq/pqformat.h"
#include "libpq/pqsignal.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

extern PGDLLEXPORT void aside_launcher_main(Datum arg);
extern PGDLLEXPORT void aside_coordinator_main(Datum arg);

/* The launcher looks for queued tasks this often. */
#define KICK_EVERY_US 1000000

/* A turn that begins this soon after the last one takes a breath first. */
#define BUSY_US 100
#define BREATH_US 200

/* After an error, the coordinator waits this long, twice as long each time. */
#define FIRST_PAUSE_MS 100
#define CLOSING_MS "200ms"
#define LONGEST_PAUSE_MS 10000

static aside_registry *registry = NULL;
static uint32 my_entry = 0;

size_t
aside_registry_bytes(void)
{
	return aside_registry_size();
}

/* While shared memory is laid out, and in processes that inherit it. */
void
aside_lay_out_registry(void)
{
	bool		found;
	void	   *memory = ShmemInitStruct("pg_aside coordinators", aside_registry_size(), &found);

	if (!found)
	{
		memset(memory, 0, aside_registry_size());
		if (!aside_registry_init(memory, aside_registry_size()))
			elog(ERROR, "could not lay out the coordinators of pg_aside");
	}
	registry = aside_registry_attach(memory, aside_registry_size());
}

bool
aside_has_launcher(void)
{
	return registry != NULL;
}

static void
set_latch(int64_t proc)
{
	if (proc >= 0 && proc < ProcGlobal->allProcCount)
		SetLatch(&ProcGlobal->allProcs[proc].procLatch);
}

void
aside_register_launcher(void)
{
	BackgroundWorker worker = {
		.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
		.bgw_start_time = BgWorkerStart_RecoveryFinished,
		.bgw_restart_time = 1,
	};

	snprintf(worker.bgw_name, BGW_MAXLEN, "pg_aside launcher");
	strlcpy(worker.bgw_type, "pg_aside launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "pg_aside", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "aside_launcher_main", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

/* ---- the launcher ---- */

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

/* What a coordinator is told at its start, in bgw_extra. */
typedef struct CoordinatorStart
{
	uint32		entry;
	uint32		database;
	uint64		generation;
} CoordinatorStart;

static bool
launcher_start(uint32_t entry, uint64_t generation, uint32_t database)
{
	CoordinatorStart start = {.entry = entry, .database = database, .generation = generation};
	BackgroundWorker worker = {
		.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
		.bgw_start_time = BgWorkerStart_RecoveryFinished,
		.bgw_restart_time = BGW_NEVER_RESTART,
		.bgw_notify_pid = MyProcPid,
	};
	BackgroundWorkerHandle *handle = NULL;
	bool		started;

	memcpy(worker.bgw_extra, &start, sizeof(start));
	snprintf(worker.bgw_name, BGW_MAXLEN, "pg_aside coordinator %u", database);
	strlcpy(worker.bgw_type, "pg_aside coordinator", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "pg_aside", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "aside_coordinator_main", BGW_MAXLEN);
	started = RegisterDynamicBackgroundWorker(&worker, &handle);
	if (handle != NULL)
		pfree(handle);
	return started;
}

static void
launcher_wake(uint32_t proc)
{
	set_latch(proc);
}

static void
launcher_note(uint32_t what)
{
	if (what == 0)
		ereport(LOG,
				(errmsg("pg_aside has no worker slot for a coordinator of events"),
				 errhint("Consider increasing \"max_worker_processes\".")));
	else
		ereport(LOG,
				(errmsg("pg_aside knows too many databases"),
				 errhint("Name those whose events are to be handled in \"aside.databases\".")));
}

static void
launcher_leaves(int code, Datum arg)
{
	aside_launcher_here(registry, 0, -1);
}

static void
serve_signals(void)
{
	/* What somebody wanted to cancel is over. */
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		if (my_entry == PG_UINT32_MAX)
			(void) aside_launcher_kick(registry);
	}
}

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
		die(postgres_signal_arg);
	errno = save_errno;
}

static void
sleep_for(int64 us)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 Max(1, us / 1000), ASIDE_WAIT_EVENT("AsideIdle"));
	ResetLatch(MyLatch);
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
		.start = launcher_start,
		.wake = launcher_wake,
		.note = launcher_note,
	};

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	my_entry = PG_UINT32_MAX;
	before_shmem_exit(launcher_leaves, (Datum) 0);
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	aside_launcher_here(registry, MyProcPid, aside_proc_number(MyProc));
	for (;;)
	{
		int64		wait;

		serve_signals();
		wait = aside_launcher_step(registry, &host);
		/* Whoever ends one task looks for the next; where nobody could, this finds it. */
		kick_tasks();
		sleep_for(Min(wait, KICK_EVERY_US));
	}
}

/* ---- a coordinator ---- */

/* The server believes that it talks to a client; of what it says, notifications are heard. */
static int
put_message(char type, const char *data, size_t len)
{
	if (type == 'A')
	{
		StringInfoData message = {.data = unconstify(char *, data), .len = len, .maxlen = -1};
		int			pid = pq_getmsgint(&message, 4);
		const char *channel = pq_getmsgrawstring(&message);

		aside_hear(pid, channel, pq_getmsgrawstring(&message));
	}
	return 0;
}

static void
put_message_noblock(char type, const char *data, size_t len)
{
	(void) put_message(type, data, len);
}

static void
do_nothing(void)
{
}

static int
flush_nothing(void)
{
	return 0;
}

static bool
nothing_pending(void)
{
	return false;
}

static void
listen_to_server(void)
{
	static const PQcommMethods methods = {
		.comm_reset = do_nothing,
		.flush = flush_nothing,
		.flush_if_writable = flush_nothing,
		.is_send_pending = nothing_pending,
		.putmessage = put_message,
		.putmessage_noblock = put_message_noblock,
	};

	PqCommMethods = &methods;
	whereToSendOutput = DestRemote;
	FrontendProtocol = PG_PROTOCOL_LATEST;
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
leave(uint32 state)
{
	aside_coordinator_became(registry, my_entry, state, GetCurrentTimestamp());
	proc_exit(0);
}

static int
read_partition(void)
{
	int			partition = 0;
	bool		null;

	StartTransactionCommand();
	aside_begin_with_tables();
	/* Asked while the tables stay: as long as there is an extension, they are its own, and not somebody's who waited for it to go. */
	if (!OidIsValid(get_extension_oid("pg_aside", true)))
		leave(4);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	PushActiveSnapshot(GetTransactionSnapshot());
	if (SPI_execute("SELECT partition FROM aside.event_control", true, 1) == SPI_OK_SELECT && SPI_processed == 1)
		partition = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null));
	PopActiveSnapshot();
	SPI_finish();
	CommitTransactionCommand();
	return partition;
}

static void
coordinator_leaves(int code, Datum arg)
{
	aside_coordinator_exit(registry, my_entry, GetCurrentTimestamp());
	set_latch(aside_launcher_kick(registry));
}

void
aside_set_current_partition(int partition)
{
	aside_registry_set_partition(registry, my_entry, partition);
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

	/* Who emits events meanwhile does not cut it short. */
	if (paused >= 0 && paused < (int64) pause * 1000)
		return (int64) pause * 1000 - paused;
	ASIDE_TRY(status);
	{
		if (notifyInterruptPending)
			ProcessNotifyInterrupt(false);
		if (catchupInterruptPending)
			ProcessCatchupInterrupt();
		aside_fill_call(&request, &limits);
	}
	ASIDE_END_TRY();
	if (status == ASIDE_OK)
		status = aside_coordinator_step(coordinator, aside_caller_pool(true)->handle, aside_get_caller_host(),
										aside_get_event_host(), &limits, &wait);
	if (status == ASIDE_OK)
	{
		pause = 0;
		said = 0;
		return wait;
	}
	AbortOutOfAnyTransaction();
	if (aside_tables_replaced())
		leave(5);
	if (!has_extension())
		leave(4);
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

void
aside_coordinator_main(Datum arg)
{
	CoordinatorStart start;
	aside_coordinator *coordinator;
	TimestampTz checked = 0;
	TimestampTz turned = 0;
	int64		wait;
	int			partition;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, end_in_order);
	BackgroundWorkerUnblockSignals();
	memcpy(&start, MyBgworkerEntry->bgw_extra, sizeof(start));
	my_entry = start.entry;
	if (!aside_coordinator_attach(registry, my_entry, start.generation, MyProcPid, aside_proc_number(MyProc),
								  GetCurrentTimestamp()))
		proc_exit(0);
	before_shmem_exit(coordinator_leaves, (Datum) 0);
	BackgroundWorkerInitializeConnectionByOid(start.database, InvalidOid, 0);
	for (int i = 0; i < lengthof(coordinator_settings); i++)
		(void) set_config_option(coordinator_settings[i][0], coordinator_settings[i][1], PGC_SUSET, PGC_S_SESSION,
								 GUC_ACTION_SET, true, 0, false);
	(void) set_config_option("client_encoding", GetDatabaseEncodingName(), PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SET,
							 true, 0, false);
	/* A record of what it did is as good as its transaction; no standby needs to have it first. */
	if (synchronous_commit > SYNCHRONOUS_COMMIT_LOCAL_FLUSH)
		(void) set_config_option("synchronous_commit", "local", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SET, true, 0, false);
	if (!has_extension())
		leave(4);
	/*
	 * What an earlier coordinator had begun may still commit: its events are
	 * given to nobody else before it is known whether it did.
	 */
	while (aside_pool_orphans(aside_caller_pool(true)->handle, MyDatabaseId) > 0)
	{
		serve_signals();
		if (aside_coordinator_leaves(registry, my_entry, GetCurrentTimestamp()))
			leave(5);
		sleep_for(10000);
	}
	listen_to_server();
	partition = read_partition();
	aside_set_current_partition(partition);
	coordinator = aside_coordinator_new(registry, my_entry, partition);
	aside_coordinator_became(registry, my_entry, 3, GetCurrentTimestamp());
	pgstat_report_activity(STATE_IDLE, NULL);
	for (;;)
	{
		TimestampTz now = GetCurrentTimestamp();

		serve_signals();
		if (to_end)
		{
			close_in_order(coordinator);
			proc_exit(0);
		}
		if (aside_coordinator_leaves(registry, my_entry, now))
		{
			close_in_order(coordinator);
			leave(5);
		}
		if (now - checked > 2 * USECS_PER_SEC || now < checked)
		{
			checked = now;
			if (!has_extension())
				leave(4);
		}
		/* When there is always something, turns that take in several things at a time leave more to those who work. */
		if (now - turned < BUSY_US)
			pg_usleep(BREATH_US);
		wait = take_turn(coordinator);
		turned = GetCurrentTimestamp();
		sleeps = true;
		sleep_for(wait);
		sleeps = false;
	}
}

/* ---- what others say ---- */

/* The partition that new events of this database go to; -1: nobody has said so yet. */
int
aside_current_partition(void)
{
	return registry == NULL ? -1 : aside_registry_partition(registry, MyDatabaseId);
}

void
aside_say_events(void)
{
	if (registry != NULL)
		set_latch(aside_registry_say(registry, MyDatabaseId, false));
}

void
aside_say_handlers(void)
{
	if (registry != NULL)
		set_latch(aside_registry_say(registry, MyDatabaseId, true));
}

/* CREATE EXTENSION has committed here. */
void
aside_want_coordinator(void)
{
	if (registry == NULL)
		return;
	aside_registry_want(registry, MyDatabaseId, GetCurrentTimestamp());
	set_latch(aside_launcher_kick(registry));
}

/* Somebody wants a database for himself: false once no coordinator is in it. */
bool
aside_vacate_coordinator(Oid database)
{
	int64_t		latch = -1;
	bool		there;

	if (registry == NULL)
		return false;
	there = aside_registry_vacate(registry, database, GetCurrentTimestamp() + 10 * USECS_PER_SEC, &latch);
	set_latch(latch);
	return there;
}

/* There are other databases than before. */
void
aside_look_for_databases(void)
{
	if (registry != NULL)
		set_latch(aside_launcher_kick(registry));
}

/* Nobody wants it for himself any more. */
void
aside_readmit_coordinator(Oid database)
{
	if (registry == NULL)
		return;
	aside_registry_readmit(registry, database);
	set_latch(aside_launcher_kick(registry));
}

PG_FUNCTION_INFO_V1(aside_coordinators);

/* Rows of aside.coordinators. */
Datum
aside_coordinators(PG_FUNCTION_ARGS)
{
	static const char *const states[] = {"free", "starting", "starting", "running", "no extension", "failed"};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	aside_coordinator_row row;

	InitMaterializedSRF(fcinfo, 0);
	for (uint32 i = 0; registry != NULL && aside_view_coordinator(registry, i, &row); i++)
	{
		char	   *database = row.state == 0 ? NULL : get_database_name(row.database);
		Datum		values[5];
		bool		nulls[5] = {false};

		/* The launcher forgets those that were dropped when it looks next. */
		if (row.state == 0 || database == NULL)
			continue;
		values[0] = DirectFunctionCall1(namein, CStringGetDatum(database));
		values[1] = CStringGetTextDatum(states[row.state % lengthof(states)]);
		nulls[2] = row.pid == 0;
		values[2] = Int32GetDatum(row.pid);
		values[3] = Int32GetDatum(row.failures);
		values[4] = TimestampTzGetDatum(row.since);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
