/*
 * worker/send.c
 *	  Sends rows to the caller, as the executor's own minimal tuples.
 */
#include "module/module.h"
#include "worker/worker.h"

#include "access/detoast.h"
#include "executor/executor.h"

/* The task or the caller has not taken what this worker sent. */
void
aside_refuse_reply(aside_status status)
{
	if (status == ASIDE_SAVED)
		aside_throw_kept();
	if (status == ASIDE_TOO_LONG)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("result of a task exceeds aside.task_result_limit (%d kB)", aside_task_result_limit),
				 errhint("Have the command write to a table, or increase \"aside.task_result_limit\".")));
	if (status == ASIDE_TOO_MUCH)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("results of the tasks of a role exceed aside.task_results_per_role (%d kB)",
						aside_task_results_per_role),
				 errhint("Read or detach earlier tasks, or increase \"aside.task_results_per_role\".")));
	if (status == ASIDE_NO_MEMORY)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("There was no memory for a row or the columns of a result.")));
	ereport(ERROR,
			(errcode(ERRCODE_QUERY_CANCELED),
			 errmsg("canceling autonomous transaction because its caller has gone")));
}

void
aside_send_tuple(void *sink, MinimalTuple tuple)
{
	aside_bytes bytes = {(const uint8_t *) tuple, tuple->t_len};
	aside_status status = aside_sink_row(sink, bytes);

	if (status != ASIDE_OK)
		aside_refuse_reply(status);
}

/* A value in a toast table may be gone by the time the caller reads it. */
static void
detoast(TupleDesc desc, Datum *values, const bool *nulls)
{
	for (int i = 0; i < desc->natts; i++)
		if (!nulls[i] && TupleDescAttr(desc, i)->attlen == -1 &&
			VARATT_IS_EXTERNAL(DatumGetPointer(values[i])))
			values[i] = PointerGetDatum(detoast_external_attr((struct varlena *) DatumGetPointer(values[i])));
}

/* A row of these values, in the current context's memory. */
void
aside_send_values(void *sink, TupleDesc desc, Datum *values, bool *nulls)
{
	detoast(desc, values, nulls);
	aside_send_tuple(sink, aside_form_minimal_tuple(desc, values, nulls));
}

/* A row as it is. */
void
aside_send_slot(void *sink, TupleTableSlot *slot)
{
	TupleDesc	desc = slot->tts_tupleDescriptor;
	bool		ours;
	MinimalTuple tuple = ExecFetchSlotMinimalTuple(slot, &ours);
	Datum	   *values;

	if ((tuple->t_infomask & HEAP_HASEXTERNAL) == 0)
	{
		aside_send_tuple(sink, tuple);
		return;
	}
	slot_getallattrs(slot);
	values = palloc(sizeof(Datum) * desc->natts);
	memcpy(values, slot->tts_values, sizeof(Datum) * desc->natts);
	aside_send_values(sink, desc, values, slot->tts_isnull);
}
