/*
 * events/handler.h
 *	  What the files of a worker that handles events share.
 */
#ifndef ASIDE_EVENT_HANDLER_H
#define ASIDE_EVENT_HANDLER_H

#include "events/events.h"

#include "executor/spi.h"

/* What a handler takes, or is: aside.event_handler.form. */
typedef enum AsideHandlerForm
{
	ASIDE_FORM_EVENT = 'e',
	ASIDE_FORM_ARRAY = 'a',
	ASIDE_FORM_JSONB = 'j',
	ASIDE_FORM_TEXT = 't',
	ASIDE_FORM_COMMAND = 'c',
} AsideHandlerForm;

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
extern bool aside_load_handler(const aside_handler_name *name);
extern bool aside_handler_may_run(Oid owner);
extern void aside_call_handler(const AsideEvent *events, uint32 count);

/* events/batch.c */
extern AsideEvent *aside_read_events(const aside_batch *batch);
extern AsideEvent *aside_read_notifications(const aside_batch *batch);
extern void aside_acknowledge_events(uint32 handler, const aside_batch *batch, const AsideEvent *events);

#endif							/* ASIDE_EVENT_HANDLER_H */
