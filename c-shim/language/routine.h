/*
 * language/routine.h
 *	  What crosses from the handler of plpgsql_autonomous to a worker.
 *
 * Both sides are this module in the same server, so the block is a struct and
 * the bytes after it. The core passes it on unread.
 */
#ifndef ASIDE_ROUTINE_H
#define ASIDE_ROUTINE_H

#include "base/aside.h"

#include "storage/itemptr.h"

typedef enum AsideRoutineKind
{
	ASIDE_ROUTINE_SCALAR,		/* one row of one column, or none for void */
	ASIDE_ROUTINE_COMPOSITE,	/* one row: is it null, then its columns */
	ASIDE_ROUTINE_SET,			/* rows */
	ASIDE_ROUTINE_TRIGGER,		/* one row: AsideTriggerResult, the tuple */
	ASIDE_ROUTINE_BLOCK,		/* of a DO: nothing; its source text follows */
} AsideRoutineKind;

typedef struct AsideRoutine
{
	AsideRoutineKind kind;
	Oid			function;
	Oid			result_type;	/* polymorphism resolved */
	Oid			collation;		/* of the call's input */
	bool		error_if_uncommitted;

	/*
	 * A trigger's call.  There follow the header and data of each tuple, aligned,
	 * and the strings tgname and tgargs.
	 */
	Oid			relation;
	Oid			trigger;
	uint32		event;			/* TriggerEvent */
	int			depth;			/* of triggers in the caller, this one included */
	ItemPointerData old_tid;
	ItemPointerData new_tid;
	uint32		old_length;		/* of tg_trigtuple; 0: none */
	uint32		new_length;		/* of tg_newtuple */
	int16		nargs;			/* of CREATE TRIGGER */
} AsideRoutine;

/* What a trigger function returned. */
typedef enum AsideTriggerResult
{
	ASIDE_TRIGGER_NULL,
	ASIDE_TRIGGER_SAME_OLD,		/* tg_trigtuple as it was given */
	ASIDE_TRIGGER_SAME_NEW,		/* tg_newtuple as it was given */
	ASIDE_TRIGGER_TUPLE,		/* another one */
} AsideTriggerResult;

/* One call in the worker, from its request. */
typedef struct AsideRoutineCall
{
	const AsideRoutine *routine;
	const aside_arg *args;
	size_t		nargs;
	const aside_column *columns;
	size_t		ncolumns;
	void	   *sink;
	bool		returns_set;
	bool		may_commit;
	FmgrInfo	handler;
} AsideRoutineCall;

/* What follows the struct in a block. */
static inline const char *
aside_routine_rest(const AsideRoutine *routine)
{
	return (const char *) routine + MAXALIGN(sizeof(AsideRoutine));
}

/* language/routine.c */
extern void aside_describe_routine(AsideRoutine *out, Oid function);
ASIDE_NORETURN extern void aside_refuse_unseen(int sqlstate, const char *what);
extern void aside_send_result(const AsideRoutineCall *call, Datum *values, bool *nulls);

/* language/worker_routine.c */
extern aside_status aside_host_run_routine(aside_bytes routine, const aside_arg *args, size_t nargs,
										   const aside_column *columns, size_t ncolumns, void *sink);

/* language/worker_trigger.c */
extern void aside_invoke_trigger(AsideRoutineCall *call);

/* language/trigger.c */
extern Datum aside_call_trigger(FunctionCallInfo fcinfo);

#endif							/* ASIDE_ROUTINE_H */
