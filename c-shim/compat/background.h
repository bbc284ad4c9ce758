/*
 * compat/background.h
 *	  What the files of aside_pg_background share.
 *
 * A handle is the PID of the worker that runs a task, together with the task's
 * id, which the _v2 functions call the cookie. Workers are used again, so a
 * PID may still stand for an earlier task of this session; the later task then
 * gets a number that is no PID. As in pg_background, handles belong to the
 * session, whatever becomes of the transaction that made them, and a result
 * can be read once.
 */
#ifndef ASIDE_BACKGROUND_H
#define ASIDE_BACKGROUND_H

#include "call/call.h"

typedef struct Handle
{
	int32		pid;
	int64		task;
	int32		queue_size;		/* as asked for; nothing waits for a queue here */
	char	   *sql;			/* the command, or its first bytes */
	bool		discard;		/* nobody will read its result */
	bool		consumed;		/* only pg_background_run knows it any more */
	bool		counted;
} Handle;

typedef struct BackgroundCounters
{
	int64		launched,
				completed,
				failed,
				cancelled,
				timed_out;
	double		total_ms;
} BackgroundCounters;

extern List *aside_handles;		/* the oldest first */
extern BackgroundCounters aside_background_counters;

/* compat/background_handle.c */
extern AsidePool *aside_background_pool(void);
extern bool aside_find_handled_task(int64 task, aside_task_row *row);
extern bool aside_settle_handle(Handle *handle, aside_task_row *row);
extern void aside_forget_handle(Handle *handle);
extern void aside_sweep_handles(void);
extern Handle *aside_handle_by_pid(int32 pid, bool consumed_too);
extern Handle *aside_find_handle(int32 pid, const int64 *cookie);
ASIDE_NORETURN extern void aside_refuse_pid(int32 pid);
extern Handle *aside_need_handle(FunctionCallInfo fcinfo);
extern Handle *aside_add_handle(int32 pid, int64 task, Datum sql);
extern int	aside_running_handles(void);

/* pg_background's settings */
extern int	aside_background_max_workers;
extern int	aside_background_queue_size;
extern int	aside_background_timeout;
extern void aside_define_background_settings(void);

#endif							/* ASIDE_BACKGROUND_H */
