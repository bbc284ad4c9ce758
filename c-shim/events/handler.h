/*
 * events/handler.h
 *	  What the files of a worker that handles events share.
 */
#ifndef ASIDE_EVENT_HANDLER_H
#define ASIDE_EVENT_HANDLER_H

#include "events/events.h"

#include "datatype/timestamp.h"
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
	int64		group;			/* 0: none */
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
extern void aside_call_handler(const AsideEvent *events, uint32 count, bool ordered);

/* events/batch.c */
extern AsideEvent *aside_read_events(const aside_batch *batch);
extern AsideEvent *aside_read_notifications(const aside_batch *batch);
extern const aside_put_off *aside_acknowledge_events(uint32 handler, const aside_batch *batch, const AsideEvent *events, size_t *nput_off);

/* events/verdicts.c */
extern void aside_forget_verdicts(void);
extern void aside_begin_verdicts(uint32 count);
extern void aside_judge_events(uint32 first, uint32 count);
extern void aside_end_verdicts(void);
extern void aside_put_off_rest(uint32 from);
extern bool aside_was_put_off(uint32 event, TimestampTz *until);

#endif							/* ASIDE_EVENT_HANDLER_H */
