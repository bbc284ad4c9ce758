/*
 * worker/host.c
 *	  The table of what the core may ask of a worker; and what a worker does
 *	  between requests.
 */
#include "call/call.h"
#include "events/events.h"
#include "jobs/jobs.h"
#include "language/routine.h"
#include "tasks/tasks.h"
#include "worker/worker.h"

#include <sched.h>
#include "access/xact.h"
#include "commands/async.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/proc.h"
#include "storage/sinval.h"

static void
host_config(aside_worker_config *out)
{
	out->idle_timeout_ms = aside_worker_idle_timeout;
	out->min_workers = aside_min_workers;
	out->poll_us = aside_poll_time;
	out->nap_ms = aside_nap_time;
	out->plan_cache_size = aside_plan_cache_size;
	out->session_idle_ms = aside_session_idle_timeout;
	out->block_idle_ms = IdleInTransactionSessionTimeout;
	out->in_block = IsTransactionOrTransactionBlock();
	out->result_bytes = (uint64) aside_task_result_limit * 1024;
	out->role_bytes = (uint64) aside_task_results_per_role * 1024;
}

/*
 * The server reports statistics at most once a second, counted from the end
 * of the last transaction. A client's backend has a timer for the rest. A
 * worker has its main loop, which comes back when the second has passed.
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
		/* A cancel that comes between two commands is meant for neither. */
		QueryCancelPending = false;
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
			aside_reload_settings();
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
		.adopt = aside_host_adopt,
		.origin = aside_host_origin,
		.call_site = aside_host_call_site,
		.begin = aside_host_begin,
		.read_at = aside_host_read_at,
		.timed_out = aside_host_timed_out,
		.find_tasks = host_find_tasks,
		.kick = host_kick,
		.append_file = aside_append_task_file,
		.read_file = aside_read_task_file,
		.drop_file = aside_drop_task_file,
		.write_down = aside_write_down_task,
		.session_state = aside_host_session_state,
		.tag = aside_host_tag,
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
		.record_chunk = aside_host_record_chunk,
		.next_statement = aside_host_next_statement,
		.commit = aside_host_commit,
		.abort = aside_host_abort,
		.error = aside_host_error,
		.log = aside_host_log,
		.clean = aside_host_clean,
		.forget_cancel = host_forget_cancel,
	};

	if (unlikely(host.world.abi_version == 0))
		aside_fill_world(&host.world);
	return &host;
}
