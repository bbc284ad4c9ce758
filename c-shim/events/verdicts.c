/*
 * events/verdicts.c
 *	  What a handler says of the events that it handles: it puts them off, or
 *	  gives them up.
 *
 * What is put off is part of the transaction: a subtransaction that is rolled
 * back takes it along.
 */
#include "events/handler.h"
#include "worker/worker.h"

#include "access/xact.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(aside_async_event_snooze);
PG_FUNCTION_INFO_V1(aside_async_event_discard);

/* The events from this one on, so many, were put off. The last word counts. */
typedef struct Verdict
{
	uint32		first;
	uint32		count;
	TimestampTz until;
	SubTransactionId by;
} Verdict;

static List *verdicts = NIL;	/* of Verdict, in the transaction's memory; the last one first */
static bool handles = false;	/* a handler runs */
static uint32 recorded;			/* events of the batch; 0: notifications that were not recorded */
static uint32 first;			/* those that the handler has before it */
static uint32 count;

static void
subtransaction_ends(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	ListCell   *cell;

	if (!handles || (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB))
		return;
	foreach(cell, verdicts)
	{
		Verdict    *verdict = lfirst(cell);

		if (verdict->by != id)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			verdict->by = parent;
		else
			verdicts = foreach_delete_current(verdicts, cell);
	}
}

/* The last handler may have ended by an error, and its transaction with it. */
void
aside_forget_verdicts(void)
{
	handles = false;
	verdicts = NIL;
}

/* A handler is about to be called with these events. */
void
aside_begin_verdicts(uint32 events)
{
	static bool watching = false;

	if (!watching)
		RegisterSubXactCallback(subtransaction_ends, NULL);
	watching = true;
	recorded = events;
	first = count = 0;
	handles = true;
}

/* What it says from now on, it says of these. */
void
aside_judge_events(uint32 from, uint32 many)
{
	first = from;
	count = many;
}

void
aside_end_verdicts(void)
{
	handles = false;
}

bool
aside_was_put_off(uint32 event, TimestampTz *until)
{
	ListCell   *cell;

	foreach(cell, verdicts)
	{
		Verdict    *verdict = lfirst(cell);

		if (event >= verdict->first && event - verdict->first < verdict->count)
		{
			if (until != NULL)
				*until = verdict->until;
			return true;
		}
	}
	return false;
}

static void
put_off(uint32 from, uint32 many, TimestampTz until)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	Verdict    *verdict = palloc(sizeof(Verdict));

	*verdict = (Verdict) {.first = from, .count = many, .until = until, .by = GetCurrentSubTransactionId()};
	verdicts = lcons(verdict, verdicts);
	MemoryContextSwitchTo(old);
}

/* These were not called, and come again. */
void
aside_put_off_rest(uint32 from)
{
	put_off(from, recorded - from, GetCurrentTimestamp());
}

static void
check_handles(const char *function)
{
	if (handles && aside_handler_runs)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("%s() was not called by the handler of an event", function),
			 errhint("It is of use only within a handler that async_event_on() has defined, and not in autonomous_exec().")));
}

/* async_event_snooze(delay interval, until timestamptz) returns void */
Datum
aside_async_event_snooze(PG_FUNCTION_ARGS)
{
	bool		delay = !PG_ARGISNULL(0);
	TimestampTz until;

	check_handles("async_event_snooze");
	if (recorded == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a notification that was not recorded cannot be put off"),
				 errhint("Set the option \"durable\" of its handler to true.")));
	if (delay == !PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("either \"delay\" or \"until\" must be given")));
	until = delay ? DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(GetCurrentTimestamp()),
															PG_GETARG_DATUM(0)))
		: PG_GETARG_TIMESTAMPTZ(1);
	if (TIMESTAMP_NOT_FINITE(until))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time of an event must not be infinity")));
	put_off(first, count, until);
	PG_RETURN_VOID();
}

/* async_event_discard(reason text) returns void; it does not return. The core knows the SQLSTATE. */
Datum
aside_async_event_discard(PG_FUNCTION_ARGS)
{
	check_handles("async_event_discard");
	ereport(ERROR,
			(errcode(ASIDE_SQLSTATE_EVENT_DISCARDED),
			 errmsg("%s", PG_ARGISNULL(0) ? "the handler has discarded the event" : text_to_cstring(PG_GETARG_TEXT_PP(0)))));
}
