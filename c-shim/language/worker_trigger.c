/*
 * language/worker_trigger.c
 *	  Trigger functions of LANGUAGE plpgsql_autonomous, the worker's side:
 *	  this file rebuilds the caller's TriggerData.
 *
 * The worker opens the relation itself, for its name and columns. The trigger
 * is what the caller says it is, because the caller may have created it just
 * now. A lock on the relation keeps the layout of its rows. Without rows the
 * worker locks nothing, because a caller that truncates the relation holds a
 * lock against everybody. OLD and NEW are then NULL; they have the relation's
 * columns but not its type, because PL/pgSQL would look up the type under a
 * lock.
 */
#include "language/routine.h"
#include "worker/worker.h"

#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/rel.h"
#include "utils/syscache.h"

static HeapTuple
tuple_at(const char *data, uint32 length, ItemPointerData tid, Oid relation)
{
	HeapTuple	tuple;

	if (length == 0)
		return NULL;
	tuple = palloc0(HEAPTUPLESIZE + length);
	tuple->t_len = length;
	tuple->t_self = tid;
	tuple->t_tableOid = relation;
	tuple->t_data = (HeapTupleHeader) ((char *) tuple + HEAPTUPLESIZE);
	memcpy(tuple->t_data, data, length);
	return tuple;
}

static void
send_result(const AsideRoutineCall *call, HeapTuple returned, const TriggerData *data)
{
	Datum		values[2] = {Int32GetDatum(ASIDE_TRIGGER_NULL), (Datum) 0};
	bool		nulls[2] = {false, true};

	if (returned != NULL && returned == data->tg_trigtuple)
		values[0] = Int32GetDatum(ASIDE_TRIGGER_SAME_OLD);
	else if (returned != NULL && returned == data->tg_newtuple)
		values[0] = Int32GetDatum(ASIDE_TRIGGER_SAME_NEW);
	else if (returned != NULL)
	{
		HeapTuple	flat = HeapTupleHasExternal(returned) ?
			toast_flatten_tuple(returned, RelationGetDescr(data->tg_relation)) : returned;
		bytea	   *bytes = palloc(VARHDRSZ + flat->t_len);

		SET_VARSIZE(bytes, VARHDRSZ + flat->t_len);
		memcpy(VARDATA(bytes), flat->t_data, flat->t_len);
		values[0] = Int32GetDatum(ASIDE_TRIGGER_TUPLE);
		values[1] = PointerGetDatum(bytes);
		nulls[1] = false;
	}
	aside_send_result(call, values, nulls);
}

/* Of the strings, which last as long as the request. */
static Trigger
trigger_at(const char *strings, const AsideRoutine *routine)
{
	Trigger		trigger = {
		.tgoid = routine->trigger,
		.tgfoid = routine->function,
		.tgname = unconstify(char *, strings),
		.tgnargs = routine->nargs,
		.tgargs = palloc(sizeof(char *) * (routine->nargs + 1)),
	};

	for (int i = 0; i < routine->nargs; i++)
	{
		strings += strlen(strings) + 1;
		trigger.tgargs[i] = unconstify(char *, strings);
	}
	return trigger;
}

/* A relation that nobody locks. */
static Relation
unlocked(Relation relation, Relation copy)
{
	*copy = *relation;
	copy->rd_att = CreateTupleDescCopy(RelationGetDescr(relation));
	copy->rd_att->tdtypeid = RECORDOID;
	copy->rd_att->tdtypmod = -1;
	return copy;
}

static void
invoke(AsideRoutineCall *call)
{
	LOCAL_FCINFO(fcinfo, 0);
	const AsideRoutine *routine = call->routine;
	const char *old = aside_routine_rest(routine);
	const char *new = old + MAXALIGN(routine->old_length);
	Trigger		trigger = trigger_at(new + MAXALIGN(routine->new_length), routine);
	TriggerData data = {.type = T_TriggerData, .tg_event = routine->event, .tg_trigger = &trigger};
	HeapTuple	returned;
	bool		for_row = TRIGGER_FIRED_FOR_ROW(routine->event);
	RelationData copy;
	Relation	relation;

	/*
	 * Look the relation up without a lock first. If the caller has created
	 * the table in its transaction, this process could not get a lock on it.
	 */
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(routine->relation)))
		aside_refuse_unseen(ERRCODE_UNDEFINED_TABLE, "relation of the trigger");
	relation = for_row ? relation_open(routine->relation, AccessShareLock) : RelationIdGetRelation(routine->relation);
	if (relation == NULL)
		aside_refuse_unseen(ERRCODE_UNDEFINED_TABLE, "relation of the trigger");
	data.tg_relation = for_row ? relation : unlocked(relation, &copy);
	data.tg_trigtuple = tuple_at(old, routine->old_length, routine->old_tid, routine->relation);
	data.tg_newtuple = tuple_at(new, routine->new_length, routine->new_tid, routine->relation);
	InitFunctionCallInfoData(*fcinfo, &call->handler, 0, InvalidOid, (Node *) &data, NULL);
	returned = (HeapTuple) DatumGetPointer(FunctionCallInvoke(fcinfo));
	send_result(call, returned, &data);
	relation_close(relation, for_row ? AccessShareLock : NoLock);
}

/*
 * pg_trigger_depth() is the number of triggers that the server is calling,
 * and the server counts them itself. So the worker has the server call as
 * many triggers as the caller is in. Each of them is the function below, as
 * an INSTEAD OF INSERT trigger for a row without columns.
 */
static AsideRoutineCall *descending = NULL;
static int	descents_left = 0;

static void go_deeper(void);

static Datum
descend(PG_FUNCTION_ARGS)
{
	check_stack_depth();
	if (descents_left > 0)
		go_deeper();
	else
	{
		MemoryContext old = MemoryContextSwitchTo(aside_request_context);

		invoke(descending);
		MemoryContextSwitchTo(old);
	}
	PG_RETURN_POINTER(NULL);
}

static void
go_deeper(void)
{
	Oid			function = descending->routine->function;
	Trigger		trigger = {
		.tgfoid = function,
		.tgname = "",
		.tgtype = TRIGGER_TYPE_ROW | TRIGGER_TYPE_INSTEAD | TRIGGER_TYPE_INSERT,
		.tgenabled = TRIGGER_FIRES_ALWAYS,
	};
	TriggerDesc triggers = {.triggers = &trigger, .numtriggers = 1, .trig_insert_instead_row = true};
	FmgrInfo	info = {
		.fn_addr = descend,
		.fn_oid = function,
		.fn_stats = TRACK_FUNC_ALL,
		.fn_mcxt = CurrentMemoryContext,
	};
	ResultRelInfo *relation = makeNode(ResultRelInfo);
	EState	   *estate = CreateExecutorState();
	TupleDesc	nothing = CreateTemplateTupleDesc(0);
	TupleTableSlot *slot;

	TupleDescFinalize(nothing);
	slot = MakeSingleTupleTableSlot(nothing, &TTSOpsVirtual);
	descents_left--;
	relation->ri_TrigDesc = &triggers;
	relation->ri_TrigFunctions = &info;
	(void) ExecIRInsertTriggers(estate, relation, ExecStoreVirtualTuple(slot));
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);
}

void
aside_invoke_trigger(AsideRoutineCall *call)
{
	descending = call;
	descents_left = Max(call->routine->depth, 1);
	go_deeper();
}
