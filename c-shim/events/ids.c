/*
 * events/ids.c
 *	  Ids of events: each is higher than all that were given before, whatever
 *	  is done to the sequence.  What is after what, for a handler, is told by
 *	  them.
 */
#include "coordinator/coordinator.h"
#include "events/events.h"

#include "commands/sequence.h"
#include "fmgr.h"
#include "miscadmin.h"

PG_FUNCTION_INFO_V1(aside_event_next_id);

int64
aside_next_event_id(void)
{
	Oid			sequence = aside_event_tables().sequence;
	int64		known = aside_raise_event_id(sequence, 0);
	int64		id = nextval_internal(sequence, false);

	/* What was known before it was asked is lower, whoever asks at the same time. */
	if (id <= known)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("sequence \"aside.event_id\" was set back"),
				 errdetail("It gave %lld, and has given %lld before.", (long long) id, (long long) known),
				 errhint("Call setval('aside.event_id', %lld).", (long long) known)));
	(void) aside_raise_event_id(sequence, id);
	return id;
}

/* aside.event_next_id() returns bigint */
Datum
aside_event_next_id(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(aside_next_event_id());
}
