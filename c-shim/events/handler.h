/*
 * events/handler.h
 *	  What the files of a worker that handles events share.
 */
#ifndef ASIDE_EVENT_HANDLER_H
#define ASIDE_EVENT_HANDLER_H

#include "events/events.h"

#include "executor/spi.h"

/* As rust-core/src/wire/batch.rs lays it out. */
typedef struct AsideBatch
{
	uint32		kind;			/* 0 events, 1 notifications */
	uint32		partition;
	uint32		attempt;
	uint32		count;
	uint64		key;
} AsideBatch;

/* One event as a handler is told of it. */
typedef struct AsideEvent
{
	int64		id;				/* 0: was not recorded */
	bool		notified;		/* came from a NOTIFY */
	bool		unique;
	Datum		payload;		/* jsonb */
	bool		no_payload;
	Datum		text;			/* the payload as text */
	Datum		channel;
	Datum		composite;		/* aside.event */
} AsideEvent;

/* events/plans.c */
extern SPIPlanPtr aside_prepare_plan(const char *query, int nargs, Oid *types);
extern SPIPlanPtr aside_prepare_kept(const char *query, int nargs, Oid *types);
extern void aside_check_handler_code(int code);
extern void aside_execute_plan(SPIPlanPtr plan, Datum *values, const char *nulls);
extern void aside_execute_by_place(SPIPlanPtr *plan, const char *query, int nargs, Oid *types, Datum *values);

/* events/handler_call.c */
extern bool aside_load_handler(const AsideHandlerName *name);
extern bool aside_handler_may_run(Oid owner);
extern void aside_call_handler(const AsideEvent *events, uint32 count);

/* events/batch.c */
extern AsideEvent *aside_read_events(const AsideBatch *batch);
extern AsideEvent *aside_read_notifications(const AsideBatch *batch);
extern void aside_acknowledge_events(uint32 handler, const AsideBatch *batch, const AsideEvent *events);

#endif							/* ASIDE_EVENT_HANDLER_H */
