/*
 * events/lease.h
 *	  Leases of consumers: what those who call for them, and the coordinator,
 *	  share.
 */
#ifndef ASIDE_EVENT_LEASE_H
#define ASIDE_EVENT_LEASE_H

#include "events/events.h"

#include "access/htup.h"
#include "access/tupdesc.h"
#include "datatype/timestamp.h"
#include "utils/array.h"

/* What a consumer says of events. */
typedef struct AsideLeaseWord
{
	char		kind;			/* ASIDE_LETTER_DONE or ASIDE_LETTER_GIVEN_BACK */
	Datum		message;		/* 0: none */
	TimestampTz next_at;		/* 0: not said */
} AsideLeaseWord;

/* events/lease.c */
extern bool aside_lock_lease(int64 lease, bool wait);
extern int	aside_distinct_ids(ArrayType *array, int64 *ids);
extern void aside_refuse_lease(int64 event);
extern void aside_say_of_lease(int64 handler, int64 lease, const int64 *ids, int count, const AsideLeaseWord *word);
extern HeapTuple *aside_read_lease(int64 lease, TupleDesc desc, int64 **ids, int *count, MemoryContext into);

#endif							/* ASIDE_EVENT_LEASE_H */
