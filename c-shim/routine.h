/*
 * routine.h
 *	  What crosses from the handler of plpgsql_autonomous to a worker.
 *
 * Both sides are this module in the same server, so the block is a struct
 * and what follows it.  The core passes it on unread.
 */
#ifndef ASIDE_ROUTINE_H
#define ASIDE_ROUTINE_H

#include "aside.h"

#include "access/htup.h"
#include "storage/itemptr.h"

typedef enum AsideRoutineKind
{
	ASIDE_ROUTINE_SCALAR,		/* one row of one column, or none for void */
	ASIDE_ROUTINE_COMPOSITE,	/* one row: is it null, then its columns */
	ASIDE_ROUTINE_SET,			/* rows */
	ASIDE_ROUTINE_TRIGGER,		/* one row: AsideTriggerResult, the tuple */
} AsideRoutineKind;

typedef struct AsideRoutine
{
	AsideRoutineKind kind;
	Oid			function;
	/* The pg_proc row that the caller sees, to be the one that the worker sees. */
	TransactionId xmin;
	ItemPointerData tid;
	Oid			result_type;	/* polymorphism resolved */
	bool		error_if_uncommitted;

	/* A trigger's call.  Its tuples follow, each aligned to 8 bytes. */
	Oid			relation;
	Oid			trigger;
	uint32		event;			/* TriggerEvent */
	uint32		old_length;		/* of tg_trigtuple; 0: none */
	uint32		new_length;		/* of tg_newtuple */
} AsideRoutine;

/* What a trigger function returned. */
typedef enum AsideTriggerResult
{
	ASIDE_TRIGGER_NULL,
	ASIDE_TRIGGER_SAME_OLD,		/* tg_trigtuple as it was given */
	ASIDE_TRIGGER_SAME_NEW,		/* tg_newtuple as it was given */
	ASIDE_TRIGGER_TUPLE,		/* another one */
} AsideTriggerResult;

/* A tuple in a block is the header and data that HeapTupleData.t_data points to. */
#define ASIDE_ROUTINE_TUPLES(block) ((const char *) (block) + MAXALIGN(sizeof(AsideRoutine)))

/* plhandler.c */
extern void aside_describe_routine(AsideRoutine *out, Oid function);

/* pltrigger.c */
extern Datum aside_call_trigger(FunctionCallInfo fcinfo);

#endif							/* ASIDE_ROUTINE_H */
