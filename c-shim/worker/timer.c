/*
 * worker/timer.c
 *	  Timers of what a worker runs: statement_timeout, and the timeout of a
 *	  task, a handler or a command.
 */
#include "worker/worker.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

/* The running task has taken all the time that it may. */
static TimeoutId task_timer = MAX_TIMEOUTS;
static volatile sig_atomic_t task_timed_out = false;

/* A session's command starts its timer when it begins, as a client's command does. */
void
aside_start_statement_timer(void)
{
	if (StatementTimeout > 0)
		enable_timeout_after(STATEMENT_TIMEOUT, StatementTimeout);
}

void
aside_stop_timers(void)
{
	if (get_timeout_active(STATEMENT_TIMEOUT))
		disable_timeout(STATEMENT_TIMEOUT, false);
	if (task_timer != MAX_TIMEOUTS && get_timeout_active(task_timer))
		disable_timeout(task_timer, false);
}

/* Code that traps the first cancel is ended when the timer rings again. */
#define TASK_GRACE_MS 2000

static void
task_timer_rings(void)
{
	if (task_timed_out)
		ProcDiePending = true;
	else
		QueryCancelPending = true;
	task_timed_out = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

static void
start_task_timer(uint32 timeout_ms)
{
	TimestampTz now = GetCurrentTimestamp();

	if (task_timer == MAX_TIMEOUTS)
		task_timer = RegisterTimeout(USER_TIMEOUT, task_timer_rings);
	enable_timeout_every(task_timer, TimestampTzPlusMilliseconds(now, timeout_ms),
						 Max(TASK_GRACE_MS, 1));
}

/* Has what runs taken all the time that it may? */
bool
aside_host_timed_out(void)
{
	return task_timed_out;
}

/* A request begins, of which timeout_ms is all the time; 0: it has no limit. */
void
aside_begin_task_timer(uint32 timeout_ms)
{
	task_timed_out = false;
	if (timeout_ms > 0)
		start_task_timer(timeout_ms);
}
