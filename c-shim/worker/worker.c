/*
 * worker/worker.c
 *	  What a worker's main loop asks of its process: who it is, the bracket
 *	  of a transaction, and leaving nothing behind.
 */
#include "events/events.h"

#include <sched.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "commands/async.h"
#include "commands/prepare.h"
#include "commands/sequence.h"
#include "common/pg_prng.h"
#include "jit/jit.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "replication/slot.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/sinval.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

MemoryContext aside_request_context = NULL;
const char *aside_command = NULL;

/* Each takes some 400 bytes. */
#define MOST_ROW_SHAPES 10000

bool		aside_last_commit = false;
bool		aside_in_session = false;

/* This process is not fit for another request. */
static bool worn_out = false;

/* Who acts in the next transaction. */
static aside_identity acting;

/* The settings applied last, to be applied again when the configuration file was read. */
static StringInfoData applied;

static void
host_config(aside_worker_config *out)
{
	out->idle_timeout_ms = aside_worker_idle_timeout;
	out->min_workers = aside_min_workers;
	out->poll_us = aside_poll_time;
	out->plan_cache_size = aside_plan_cache_size;
	out->session_idle_ms = aside_session_idle_timeout;
	out->block_idle_ms = IdleInTransactionSessionTimeout;
	out->in_block = IsTransactionOrTransactionBlock();
	out->result_bytes = (uint64) aside_task_result_limit * 1024;
	out->role_bytes = (uint64) aside_task_results_per_role * 1024;
}

const aside_identity *
aside_acting(void)
{
	return &acting;
}

bool
aside_caller_is_elsewhere(void)
{
	return OidIsValid(acting.database) && acting.database != MyDatabaseId;
}

static void
apply_settings(const aside_bytes *settings)
{
	aside_settings_apply(settings, aside_caller_is_elsewhere());
	if (settings->data != (uint8_t *) applied.data)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		if (applied.data == NULL)
			initStringInfo(&applied);
		resetStringInfo(&applied);
		appendBinaryStringInfo(&applied, (const char *) settings->data, settings->len);
		MemoryContextSwitchTo(old);
	}
}

/* Of the settings applied last: what RESET goes back to. */
void
aside_reset_setting(const char *name, bool local)
{
	aside_bytes settings = {(uint8_t *) applied.data, applied.len};

	if (applied.data != NULL)
		aside_settings_reset(&settings, name, local);
}

/* The file may have changed what the last caller has not: its settings go on top again. */
static void
reload(void)
{
	aside_bytes settings = {(uint8_t *) applied.data, applied.len};

	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	/* What a session has set is its own, and above the file's. */
	if (applied.data == NULL || aside_in_session)
		return;
	StartTransactionCommand();
	apply_settings(&settings);
	CommitTransactionCommand();
	aside_settings_mark();
}

/*
 * The server does not report more often than once a second, as counted at the
 * last transaction's end; a client's backend has a timer for what that leaves.
 * The main loop comes back when the second has passed.
 */
static void
report_statistics(void)
{
	static TimestampTz left_since = 0;
	bool		due = left_since != 0 &&
		TimestampDifferenceExceeds(left_since, GetCurrentTimestamp(), 1000);

	if (pgstat_report_stat(due) == 0)
		left_since = 0;
	else if (left_since == 0)
		left_since = GetCurrentTimestamp();
}

static void
report_idle(void)
{
	if (IsAbortedTransactionBlockState())
		pgstat_report_activity(STATE_IDLEINTRANSACTION_ABORTED, NULL);
	else if (IsTransactionOrTransactionBlock())
		pgstat_report_activity(STATE_IDLEINTRANSACTION, NULL);
	else
	{
		report_statistics();
		pgstat_report_activity(STATE_IDLE, NULL);
	}
}

static aside_status
host_idle(bool going_to_sleep)
{
	aside_status status = ASIDE_OK;

	if (!going_to_sleep && !InterruptPending && !ConfigReloadPending)
		return ASIDE_OK;
	ASIDE_TRY(status);
	{
		/* A cancel that comes between two commands is for neither. */
		QueryCancelPending = false;
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
			reload();
		if (going_to_sleep)
		{
			if (catchupInterruptPending)
				ProcessCatchupInterrupt();
			if (notifyInterruptPending)
				ProcessNotifyInterrupt(false);
			report_idle();
		}
	}
	ASIDE_END_TRY();
	return status == ASIDE_OK ? ASIDE_OK : ASIDE_LEAVE;
}

static void
host_signal_slot(void)
{
	ConditionVariableSignal(&aside_worker_pool()->prefix->slot_free);
}

/*
 * The order is that of ParallelWorkerMain: session authorization, role,
 * settings.  The server checks each against whom this process is
 * authenticated as, which is whom the caller is authenticated as.
 */
static void
become(const aside_identity *who)
{
	if (GetSessionUserId() != who->session_user)
		(void) set_config_option("session_authorization", GetUserNameFromId(who->session_user, false),
								 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SET, true, ERROR, false);
	(void) set_config_option("role", OidIsValid(who->role) ? GetUserNameFromId(who->role, false) : "none",
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SET, true, ERROR, false);
}

static aside_status
host_adopt(const aside_identity *who, const aside_bytes *settings)
{
	aside_status status = ASIDE_OK;
	bool		other;

	acting = *who;
	other = GetSessionUserId() != who->session_user || GetCurrentRoleId() != who->role;
	if (likely(settings == NULL && !other))
		return ASIDE_OK;
	ASIDE_TRY(status);
	{
		StartTransactionCommand();
		if (other)
			become(who);
		if (settings != NULL)
			apply_settings(settings);
		CommitTransactionCommand();
		if (settings != NULL)
			aside_settings_mark();
	}
	ASIDE_END_TRY();
	return status;
}

/* The running task has taken all the time that it may. */
static TimeoutId task_timer = MAX_TIMEOUTS;
static volatile sig_atomic_t task_timed_out = false;

/* Does statement_timeout run for this command; and what it was. */
static bool has_timer = false;
static int	timeout_at_begin = 0;

/* As the server does for a client: the timer of a session's command is set when it begins. */
static void
start_timer(void)
{
	if (StatementTimeout > 0)
		enable_timeout_after(STATEMENT_TIMEOUT, StatementTimeout);
}

static void
stop_timer(void)
{
	if (get_timeout_active(STATEMENT_TIMEOUT))
		disable_timeout(STATEMENT_TIMEOUT, false);
	if (task_timer != MAX_TIMEOUTS && get_timeout_active(task_timer))
		disable_timeout(task_timer, false);
}

/* What traps the first cancel is ended by the second call. */
#define TASK_GRACE_MS 2000

static volatile sig_atomic_t task_ended_by_timer = false;

/* What runs trapped the cancel at its timeout: this process ends. */
bool
aside_ends_by_timer(void)
{
	return task_ended_by_timer;
}

static void
task_timer_rings(void)
{
	if (task_timed_out)
	{
		task_ended_by_timer = true;
		ProcDiePending = true;
		InterruptPending = true;
	}
	else
	{
		task_timed_out = true;
		QueryCancelPending = true;
		InterruptPending = true;
	}
	SetLatch(MyLatch);
}

static void
start_task_timer(uint32 timeout_ms)
{
	TimestampTz now = GetCurrentTimestamp();

	if (task_timer == MAX_TIMEOUTS)
		task_timer = RegisterTimeout(USER_TIMEOUT, task_timer_rings);
	task_timed_out = false;
	enable_timeout_every(task_timer, TimestampTzPlusMilliseconds(now, timeout_ms),
						 Max(TASK_GRACE_MS, 1));
}

/* This process is the invoker's, who sees what it runs: a definer's text, literals included, is not for him. */
static const char *
shown_command(const char *command)
{
	if ((acting.security_context & SECURITY_LOCAL_USERID_CHANGE) != 0 && acting.current_user != GetAuthenticatedUserId())
		return "<command of a security-definer function>";
	return command;
}

static aside_status
host_begin(aside_bytes command, bool session, uint32_t timeout_ms)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		char	   *copy;

		if (aside_request_context == NULL)
			aside_request_context = AllocSetContextCreate(TopMemoryContext, "pg_aside request",
														  ALLOCSET_DEFAULT_SIZES);
		copy = MemoryContextAllocHuge(aside_request_context, command.len + 1);
		memcpy(copy, command.data, command.len);
		copy[command.len] = '\0';
		aside_command = copy;
		debug_query_string = aside_caller_query() == NULL ? copy : aside_caller_query();
		aside_log_command(NULL);
		SetCurrentStatementStartTimestamp();
		pgstat_report_activity(STATE_RUNNING, shown_command(copy));
		aside_in_session = session;
		aside_forget_layouts();
		InitializeQueryCompletion(&aside_last_completion);
		task_timed_out = false;
		aside_handler_runs = false;
		if (timeout_ms > 0)
			start_task_timer(timeout_ms);
		StartTransactionCommand();
		/* From here to the transaction's end; an abort restores the outer user. A session has its own. */
		if (!session)
			SetUserIdAndSecContext(acting.current_user, acting.security_context);
		/* Of a single call the caller's own timer runs, until the command sets one. */
		has_timer = session || aside_worker_task(aside_worker_pool()->handle) != 0;
		timeout_at_begin = StatementTimeout;
		if (has_timer)
			start_timer();
	}
	ASIDE_END_TRY();
	return status;
}

static void
host_session_state(uint32_t *user, uint64_t *settings)
{
	*user = GetUserId();
	*settings = aside_settings_version();
}

static aside_bytes
host_tag(void)
{
	static char tag[COMPLETION_TAG_BUFSIZE];
	aside_bytes bytes = {(const uint8_t *) tag, 0};

	if (aside_last_completion.commandTag != CMDTAG_UNKNOWN)
		bytes.len = aside_completion_string(tag, &aside_last_completion);
	return bytes;
}

static aside_status
host_next_statement(bool controls)
{
	aside_status status = ASIDE_OK;

	aside_forget_layouts();
	ASIDE_TRY(status);
	{
		if (controls)
		{
			CommitTransactionCommand();
			StartTransactionCommand();
		}
		else
			CommandCounterIncrement();
		/* As for a client, each statement has the whole time, and what the one before has set holds. */
		if (get_timeout_active(STATEMENT_TIMEOUT))
			disable_timeout(STATEMENT_TIMEOUT, false);
		if (has_timer || StatementTimeout != timeout_at_begin)
			start_timer();
	}
	ASIDE_END_TRY();
	return status;
}

static aside_status
host_commit(void)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		stop_timer();
		EndImplicitTransactionBlock();
		aside_last_commit = true;
		CommitTransactionCommand();
		aside_log_duration();
	}
	ASIDE_END_TRY();
	aside_last_commit = false;
	return status;
}

/*
 * As PostgresMain does after an error: of a session, a transaction block is
 * left behind as a failed one. What fails here leaves no process to go on with.
 */
static void
host_abort(void)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		HOLD_INTERRUPTS();
		disable_all_timeouts(false);
		QueryCancelPending = false;
		debug_query_string = NULL;
		if (aside_in_session)
			AbortCurrentTransaction();
		else
			AbortOutOfAnyTransaction();
		PortalErrorCleanup();
		if (MyReplicationSlot != NULL)
			ReplicationSlotRelease();
		aside_cleanup_replication_slots();
		jit_reset_after_error();
		RESUME_INTERRUPTS();
	}
	ASIDE_END_TRY();
	if (status != ASIDE_OK)
		proc_exit(1);
}

/*
 * PL/pgSQL keeps what it has compiled for as long as the process lives, also
 * against rows that have other types by now: a session would be told to
 * begin anew.
 */
static bool
is_outdated_code(const ErrorData *edata)
{
	const char *file = edata->filename;

	return edata->sqlerrcode == ERRCODE_DATATYPE_MISMATCH && file != NULL &&
		strlen(file) >= strlen("pl_exec.c") &&
		strcmp(file + strlen(file) - strlen("pl_exec.c"), "pl_exec.c") == 0;
}

static void
host_error(aside_report *out)
{
	ErrorData  *edata = aside_kept_error();

	if (edata != NULL)
	{
		if (is_outdated_code(edata))
			worn_out = true;
		aside_fill_report(edata, out);
		if (task_timed_out && edata->sqlerrcode == ERRCODE_QUERY_CANCELED)
			out->message = aside_text_bytes(aside_handler_runs ? "canceling event handler due to its timeout" :
											"canceling task due to aside.task_timeout");
		return;
	}
	memset(out, 0, sizeof(*out));
	out->severity = ASIDE_ERROR;
	out->sqlstate = ERRCODE_INTERNAL_ERROR;
	out->message.data = (const uint8_t *) "error was lost";
	out->message.len = strlen("error was lost");
}

/* What one command needed, within a session. */
static void
rest(void)
{
	debug_query_string = NULL;
	aside_command = NULL;
	if (aside_request_context != NULL)
		MemoryContextReset(aside_request_context);
}

static void
drop_temporary_tables(void)
{
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	ResetTempTableNamespace();
	PopActiveSnapshot();
	CommitTransactionCommand();
	aside_temp_touched = false;
}

/* Of a replica in the making: its origin, and the times that it gave to transactions. */
static void
forget_origin(void)
{
	LOCAL_FCINFO(fcinfo, 0);

	InitFunctionCallInfoData(*fcinfo, NULL, 0, InvalidOid, NULL, NULL);
	if (RecoveryInProgress() || !DatumGetBool(pg_replication_origin_session_is_setup(fcinfo)))
		return;
	(void) pg_replication_origin_session_reset(fcinfo);
	(void) pg_replication_origin_xact_reset(fcinfo);
}

static void
stop_listening(void)
{
	StartTransactionCommand();
	Async_UnlistenAll();
	CommitTransactionCommand();
	aside_forget_notifications();
}

/* The next tenant is to find nothing of this one. */
static aside_status
host_clean(bool session_goes_on, bool *settings_intact)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		/* A cancel that comes too late must not keep anything from being cleaned. */
		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(TopMemoryContext);
		*settings_intact = true;
		if (session_goes_on)
			rest();
		else
		{
			bool		was_session = aside_in_session;

			aside_in_session = false;
			debug_query_string = NULL;
			aside_command = NULL;
			if (was_session)
			{
				AbortOutOfAnyTransaction();
				stop_listening();
			}
			aside_sessions_end(aside_worker_pool()->handle, aside_get_caller_host());
			SetUserIdAndSecContext(GetOuterUserId(), 0);
			PortalHashTableDeleteAll();
			DropAllPreparedStatements();
			LockReleaseAll(USER_LOCKMETHOD, true);
			ResetSequenceCaches();
			aside_cleanup_replication_slots();
			forget_origin();
			/* What setseed() made predictable is so no more. */
			(void) DirectFunctionCall1(setseed, Float8GetDatum(pg_prng_double(&pg_global_prng_state)));
			if (aside_temp_touched)
				drop_temporary_tables();
			if (aside_request_context != NULL)
				MemoryContextReset(aside_request_context);
			*settings_intact = aside_settings_intact();
			/* These end with the process only. */
			if (get_backup_status() != SESSION_BACKUP_NONE || aside_row_shapes > MOST_ROW_SHAPES ||
				worn_out)
				*status_ = ASIDE_LEAVE;
		}
		RESUME_INTERRUPTS();
	}
	ASIDE_END_TRY();
	return status;
}

static void
host_forget_cancel(void)
{
	/* A signal that was sent before now is delivered at the next return from the kernel. */
	(void) sched_yield();
	QueryCancelPending = false;
}

static void
host_find_tasks(void)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		(void) aside_find_tasks(aside_worker_pool(), false);
	}
	ASIDE_END_TRY();
}

static void
host_kick(void)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		aside_kick_tasks(aside_worker_pool());
	}
	ASIDE_END_TRY();
}

const aside_worker_host *
aside_get_worker_host(void)
{
	static aside_worker_host host = {
		.config = host_config,
		.idle = host_idle,
		.signal_slot = host_signal_slot,
		.outdated = aside_role_settings_changed,
		.adopt = host_adopt,
		.origin = aside_host_origin,
		.call_site = aside_host_call_site,
		.begin = host_begin,
		.find_tasks = host_find_tasks,
		.kick = host_kick,
		.append_file = aside_append_task_file,
		.read_file = aside_read_task_file,
		.drop_file = aside_drop_task_file,
		.write_down = aside_write_down_task,
		.session_state = host_session_state,
		.tag = host_tag,
		.notifications = aside_host_notifications,
		.parse = aside_host_parse,
		.prepare = aside_host_prepare,
		.keep_plan = aside_host_keep_plan,
		.drop_plan = aside_host_drop_plan,
		.catalog_changes = aside_catalog_changes,
		.lock_plan = aside_host_lock_plan,
		.run = aside_host_run,
		.run_routine = aside_host_run_routine,
		.run_events = aside_host_run_events,
		.next_statement = host_next_statement,
		.commit = host_commit,
		.abort = host_abort,
		.error = host_error,
		.log = aside_host_log,
		.clean = host_clean,
		.forget_cancel = host_forget_cancel,
	};

	if (unlikely(host.world.abi_version == 0))
		aside_fill_world(&host.world);
	return &host;
}
