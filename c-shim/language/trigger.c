/*
 * language/trigger.c
 *	  Trigger functions of LANGUAGE plpgsql_autonomous, the caller's side: the
 *	  rows go to the worker, and the row that a row trigger returns comes
 *	  back.
 */
#include "call/call.h"
#include "language/routine.h"

#include "access/htup_details.h"
#include "access/heaptoast.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"

#define RESULT_COLUMNS 2

static HeapTuple
without_toast_pointers(HeapTuple tuple, TupleDesc desc)
{
	return tuple != NULL && HeapTupleHasExternal(tuple) ? toast_flatten_tuple(tuple, desc) : tuple;
}

static void
append_tuple(StringInfo block, HeapTuple tuple)
{
	static const char zeroes[MAXIMUM_ALIGNOF];

	if (tuple == NULL)
		return;
	appendBinaryStringInfo(block, (const char *) tuple->t_data, tuple->t_len);
	appendBinaryStringInfo(block, zeroes, MAXALIGN(tuple->t_len) - tuple->t_len);
}

/* The call as the worker gets it. */
static void
pack(StringInfo block, Oid function, TriggerData *data)
{
	TupleDesc	desc = RelationGetDescr(data->tg_relation);
	bool		row = TRIGGER_FIRED_FOR_ROW(data->tg_event);
	HeapTuple	old = row ? without_toast_pointers(data->tg_trigtuple, desc) : NULL;
	HeapTuple	new = row ? without_toast_pointers(data->tg_newtuple, desc) : NULL;
	Trigger    *trigger = data->tg_trigger;
	char		head[MAXALIGN(sizeof(AsideRoutine))];
	AsideRoutine routine = {
		.kind = ASIDE_ROUTINE_TRIGGER,
		.relation = RelationGetRelid(data->tg_relation),
		.trigger = trigger->tgoid,
		.event = data->tg_event,
		.depth = DatumGetInt32(DirectFunctionCall1(pg_trigger_depth, (Datum) 0)),
		.nargs = trigger->tgnargs,
		.old_length = old == NULL ? 0 : old->t_len,
		.new_length = new == NULL ? 0 : new->t_len,
	};

	if (old != NULL)
		routine.old_tid = data->tg_trigtuple->t_self;
	if (new != NULL)
		routine.new_tid = data->tg_newtuple->t_self;
	aside_describe_routine(&routine, function);
	memset(head, 0, sizeof(head));
	memcpy(head, &routine, sizeof(routine));
	initStringInfo(block);
	appendBinaryStringInfo(block, head, sizeof(head));
	append_tuple(block, old);
	append_tuple(block, new);
	appendBinaryStringInfo(block, trigger->tgname, strlen(trigger->tgname) + 1);
	for (int i = 0; i < trigger->tgnargs; i++)
		appendBinaryStringInfo(block, trigger->tgargs[i], strlen(trigger->tgargs[i]) + 1);
}

/* Only the statement's own process has the transition tables. */
static void
refuse_transition_tables(TriggerData *data)
{
	if (data->tg_trigger->tgoldtable != NULL || data->tg_trigger->tgnewtable != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("autonomous trigger function cannot have transition tables"),
				 errdetail("The rows of trigger \"%s\" are not visible outside of the statement's transaction.",
						   data->tg_trigger->tgname),
				 errhint("Use a row trigger, or pass what is needed to an autonomous function.")));
}

static HeapTuple
unpack_tuple(bytea *bytes, Relation relation)
{
	Size		length = VARSIZE_ANY_EXHDR(bytes);
	HeapTuple	tuple = palloc0(HEAPTUPLESIZE + length);

	tuple->t_len = length;
	ItemPointerSetInvalid(&tuple->t_self);
	tuple->t_tableOid = RelationGetRelid(relation);
	tuple->t_data = (HeapTupleHeader) ((char *) tuple + HEAPTUPLESIZE);
	memcpy(tuple->t_data, VARDATA_ANY(bytes), length);
	return tuple;
}

static HeapTuple
returned_tuple(MinimalTuple row, TriggerData *data)
{
	TupleDesc	desc = CreateTemplateTupleDesc(RESULT_COLUMNS);
	HeapTupleData tuple;
	Datum		values[RESULT_COLUMNS];
	bool		nulls[RESULT_COLUMNS];

	TupleDescInitEntry(desc, 1, NULL, INT4OID, -1, 0);
	TupleDescInitEntry(desc, 2, NULL, BYTEAOID, -1, 0);
	TupleDescFinalize(desc);
	tuple.t_len = row->t_len + MINIMAL_TUPLE_OFFSET;
	tuple.t_data = (HeapTupleHeader) ((char *) row - MINIMAL_TUPLE_OFFSET);
	heap_deform_tuple(&tuple, desc, values, nulls);
	switch (DatumGetInt32(values[0]))
	{
		case ASIDE_TRIGGER_SAME_OLD:
			return data->tg_trigtuple;
		case ASIDE_TRIGGER_SAME_NEW:
			return data->tg_newtuple;
		case ASIDE_TRIGGER_TUPLE:
			return unpack_tuple(DatumGetByteaPP(values[1]), data->tg_relation);
		default:
			return NULL;
	}
}

Datum
aside_call_trigger(FunctionCallInfo fcinfo)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	aside_column columns[RESULT_COLUMNS] = {
		{.type = INT4OID, .typmod = -1, .name = aside_text_bytes("kind")},
		{.type = BYTEAOID, .typmod = -1, .name = aside_text_bytes("tuple")},
	};
	AsideRows	rows = {0};
	StringInfoData block;
	AsideRequest request = {
		.kind = ASIDE_KIND_ROUTINE,
		.output = ASIDE_OUTPUT_ROWS,
		.columns = columns,
		.ncolumns = RESULT_COLUMNS,
		.command = aside_text_bytes(psprintf("autonomous trigger %s on %s",
											 quote_identifier(data->tg_trigger->tgname),
											 quote_identifier(RelationGetRelationName(data->tg_relation)))),
	};

	refuse_transition_tables(data);
	pack(&block, fcinfo->flinfo->fn_oid, data);
	request.routine.data = (const uint8_t *) block.data;
	request.routine.len = block.len;
	aside_rows = &rows;
	(void) aside_run_request(&request);
	fcinfo->isnull = false;
	return PointerGetDatum(rows.single == NULL ? NULL : returned_tuple(rows.single, data));
}
