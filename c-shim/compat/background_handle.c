/*
 * compat/background_handle.c
 *	  The handles of aside_pg_background, and its settings.
 */
#include "compat/background.h"

#include "miscadmin.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#define FIRST_SWEEP 64
/* Of a command, as much as this is kept. */
#define KEPT_SQL (64 * 1024)

List	   *aside_handles = NIL;
BackgroundCounters aside_background_counters;
int			aside_background_max_workers = 0;
int			aside_background_queue_size = 65536;
int			aside_background_timeout = 0;

static int	sweep_at = FIRST_SWEEP;

/* Handles are the session's: no index function of somebody's looks at them. */
AsidePool *
aside_background_pool(void)
{
	AsidePool  *pool = aside_caller_pool(true);

	aside_refuse_if_restricted("a task");
	(void) aside_find_tasks(pool, true);
	return pool;
}

bool
aside_find_handled_task(int64 task, aside_task_row *row)
{
	aside_status status = aside_find_task(aside_background_pool()->handle, aside_get_caller_host(), task, row);

	if (status == ASIDE_SAVED)
		aside_throw_kept();
	return status == ASIDE_OK;
}

/* Count a task once it has ended; false: it is no more. */
bool
aside_settle_handle(Handle *handle, aside_task_row *row)
{
	if (!aside_find_handled_task(handle->task, row))
		return false;
	if (row->finished != 0 && !handle->counted)
	{
		handle->counted = true;
		aside_background_counters.completed += row->state == ASIDE_TASK_DONE;
		aside_background_counters.cancelled += row->state == ASIDE_TASK_CANCELLED;
		aside_background_counters.failed += row->state != ASIDE_TASK_DONE && row->state != ASIDE_TASK_CANCELLED;
		if (row->started != 0)
			aside_background_counters.total_ms += (row->finished - row->started) / 1000.0;
	}
	return true;
}

void
aside_forget_handle(Handle *handle)
{
	aside_task_row row;

	aside_handles = list_delete_ptr(aside_handles, handle);
	if (aside_settle_handle(handle, &row) && !handle->discard)
		(void) aside_task_detach(aside_background_pool()->handle, aside_get_caller_host(), handle->task);
	pfree(handle->sql);
	pfree(handle);
}

/* Forget what nobody will ask for, now and then: consumed handles, and discarded ones whose task is no more. */
void
aside_sweep_handles(void)
{
	aside_task_row row;
	ListCell   *cell;

	if (list_length(aside_handles) < sweep_at)
		return;
	foreach(cell, list_copy(aside_handles))
	{
		Handle	   *handle = lfirst(cell);

		if (aside_handle_is_over(handle->consumed, handle->discard, aside_settle_handle(handle, &row)))
			aside_forget_handle(handle);
	}
	sweep_at = Max(FIRST_SWEEP, 2 * list_length(aside_handles));
}

Handle *
aside_handle_by_pid(int32 pid, bool consumed_too)
{
	ListCell   *cell;

	foreach(cell, aside_handles)
	{
		Handle	   *handle = lfirst(cell);

		if (handle->pid == pid && (consumed_too || !handle->consumed))
			return handle;
	}
	return NULL;
}

void
aside_refuse_pid(int32 pid)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("PID %d is not attached to this session", pid)));
}

/* A cookie that is none is no other handle's. */
Handle *
aside_find_handle(int32 pid, const int64 *cookie)
{
	ListCell   *cell;

	if (cookie == NULL)
		return aside_handle_by_pid(pid, false);
	foreach(cell, aside_handles)
	{
		Handle	   *handle = lfirst(cell);

		if (handle->pid == pid && handle->task == *cookie && !handle->consumed)
			return handle;
	}
	return NULL;
}

/* The handle of argument 0, the PID, and of argument 1, if there is one, the cookie. */
Handle *
aside_need_handle(FunctionCallInfo fcinfo)
{
	int32		pid = PG_GETARG_INT32(0);
	int64		cookie = PG_NARGS() < 2 ? 0 : PG_GETARG_INT64(1);
	Handle	   *handle = aside_find_handle(pid, PG_NARGS() < 2 ? NULL : &cookie);

	(void) aside_background_pool();
	if (handle != NULL)
		return handle;
	if (aside_handle_by_pid(pid, false) == NULL)
		aside_refuse_pid(pid);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cookie mismatch for PID %d", pid),
			 errhint("The worker may have been restarted or the handle is stale.")));
	return NULL;
}

static char *
kept_sql(Datum sql)
{
	char	   *all = TextDatumGetCString(sql);
	int			len = strlen(all);

	if (len <= KEPT_SQL)
		return all;
	return psprintf("%.*s [...]", pg_mbcliplen(all, len, KEPT_SQL), all);
}

Handle *
aside_add_handle(int32 pid, int64 task, Datum sql)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	Handle	   *handle = palloc0(sizeof(Handle));

	handle->pid = pid;
	handle->task = task;
	handle->sql = kept_sql(sql);
	aside_handles = lappend(aside_handles, handle);
	MemoryContextSwitchTo(old);
	aside_background_counters.launched++;
	return handle;
}

/* How many have not ended. */
int
aside_running_handles(void)
{
	aside_task_row row;
	ListCell   *cell;
	int			running = 0;

	foreach(cell, aside_handles)
		running += aside_settle_handle(lfirst(cell), &row) && row.finished == 0;
	return running;
}

/*
 * As in pg_background they are there once its functions are.  Where
 * pg_background itself has defined them they are its own.
 */
void
aside_define_background_settings(void)
{
	static bool defined = false;

	if (defined)
		return;
	defined = true;
	if (GetConfigOption("pg_background.max_workers", true, false) != NULL &&
		(GetConfigOptionFlags("pg_background.max_workers", true) & GUC_CUSTOM_PLACEHOLDER) == 0)
		return;
	DefineCustomIntVariable("pg_background.max_workers",
							"Commands of a session that aside_pg_background lets wait or run at a time; 0 is no limit.",
							NULL, &aside_background_max_workers, 0, 0, 1000, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_background.default_queue_size",
							"Accepted by aside_pg_background, and of no effect: results wait for nobody to read them.",
							NULL, &aside_background_queue_size, 65536, 4096, 256 * 1024 * 1024, PGC_USERSET, GUC_UNIT_BYTE,
							NULL, NULL, NULL);
	DefineCustomIntVariable("pg_background.worker_timeout",
							"Longest duration of the commands that aside_pg_background starts; 0 is that of aside.task_timeout.",
							NULL, &aside_background_timeout, 0, 0, INT_MAX, PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
}
