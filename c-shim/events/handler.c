/*
 * events/handler.c
 *	  The worker's side of an event handler. One transaction reads the events
 *	  of a batch, calls the handler as its owner, and acknowledges the batch.
 *
 * The owner of the tables reads and acknowledges, by plans that are kept. The
 * handler runs as its own owner, with nobody else's privileges.
 */
#include "events/handler.h"
#include "worker/worker.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

static aside_ran
run(const aside_handler_name *name, const aside_batch *batch, const aside_put_off **put_off, size_t *count)
{
	Oid			owner = GetUserId();
	AsideUser	before;
	AsideEvent *events;

	if (batch->partition >= ASIDE_PARTITIONS || batch->count == 0)
		elog(ERROR, "batch of events makes no sense");
	aside_event_depth = 0;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	before = aside_act_as(aside_events_owner());
	if (!aside_load_handler(name) || !aside_handler_may_run(owner))
	{
		aside_act_again(before);
		SPI_finish();
		return ASIDE_UNWANTED;
	}
	events = batch->kind == ASIDE_BATCH_NOTIFICATIONS ? aside_read_notifications(batch) : aside_read_events(batch);
	aside_act_again(before);
	if (events == NULL)
	{
		SPI_finish();
		return ASIDE_MISPLACED;
	}
	aside_begin_verdicts(batch->kind == ASIDE_BATCH_EVENTS ? batch->count : 0);
	aside_call_handler(events, batch->count, batch->key != 0);
	aside_end_verdicts();
	(void) aside_act_as(aside_events_owner());
	if (batch->kind == ASIDE_BATCH_EVENTS)
		*put_off = aside_acknowledge_events(name->id, batch, events, count);
	aside_act_again(before);
	SPI_finish();
	return ASIDE_RAN;
}

aside_status
aside_host_run_events(aside_bytes name, aside_bytes batch, aside_ran *ran, const aside_put_off **put_off, size_t *count)
{
	aside_status status = ASIDE_OK;

	aside_forget_verdicts();
	aside_handler_runs = true;
	ASIDE_TRY(status);
	{
		MemoryContext old = MemoryContextSwitchTo(aside_request_context);
		aside_handler_name copy;

		if (name.len != sizeof(copy) || batch.len < sizeof(aside_batch))
			elog(ERROR, "request of events makes no sense");
		memcpy(&copy, name.data, sizeof(copy));
		/* The acknowledgement must be written, whatever default_transaction_read_only says. */
		if (XactReadOnly)
			(void) set_config_option("transaction_read_only", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
		PushActiveSnapshot(GetTransactionSnapshot());
		*count = 0;
		*ran = run(&copy, (const aside_batch *) batch.data, put_off, count);
		PopActiveSnapshot();
		MemoryContextSwitchTo(old);
	}
	ASIDE_END_TRY();
	return status;
}
