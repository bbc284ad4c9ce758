/*
 * host_routine.c
 *	  LANGUAGE plpgsql_autonomous, the worker's side: PL/pgSQL's own handler
 *	  runs the routine that a caller named.
 *
 * The handler reads the routine's OID from the FmgrInfo, compiles it (or
 * finds it compiled) and asks nothing about its language.  It runs inside an
 * active portal, as a CALL does, so that the routine may COMMIT.
 */
#include "routine.h"

#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/proclang.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

/* One call, from its request. */
typedef struct Call
{
	const AsideRoutine *routine;
	const aside_arg *args;
	size_t		nargs;
	const aside_column *columns;
	size_t		ncolumns;
	void	   *sink;
	bool		returns_set;
	bool		may_commit;
	FmgrInfo	handler;
} Call;

static void
refuse_unseen(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_FUNCTION),
			 errmsg("%s does not exist for the autonomous transaction as its caller sees it", what),
			 errdetail("It was created or changed by a transaction that has not committed."),
			 errhint("Commit that transaction before the autonomous function is called.")));
}

/* The routine, if this transaction sees the same one as the caller. */
static HeapTuple
same_routine(const AsideRoutine *routine)
{
	for (int tries = 0; tries < 2; tries++)
	{
		HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(routine->function));

		if (HeapTupleIsValid(tuple))
		{
			if (HeapTupleHeaderGetRawXmin(tuple->t_data) == routine->xmin &&
				ItemPointerEquals(&tuple->t_self, unconstify(ItemPointerData *, &routine->tid)))
				return tuple;
			ReleaseSysCache(tuple);
		}
		/* What was cached may be out of date. */
		AcceptInvalidationMessages();
	}
	refuse_unseen("function");
	return NULL;
}

/* For polymorphic routines: the types of this call. */
static Node *
call_expression(const Call *call)
{
	List	   *args = NIL;

	for (size_t i = 0; i < call->nargs; i++)
		args = lappend(args, makeNullConst(call->args[i].type, -1, InvalidOid));
	return (Node *) makeFuncExpr(call->routine->function, call->routine->result_type, args,
								 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
}

static void
find_handler(Call *call)
{
	HeapTuple	tuple = same_routine(call->routine);
	Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(tuple);
	HeapTuple	language = SearchSysCache1(LANGOID, ObjectIdGetDatum(get_language_oid("plpgsql", false)));

	fmgr_info_cxt(((Form_pg_language) GETSTRUCT(language))->lanplcallfoid, &call->handler,
				  CurrentMemoryContext);
	ReleaseSysCache(language);
	call->handler.fn_oid = call->routine->function;
	call->handler.fn_nargs = call->nargs;
	call->handler.fn_strict = proc->proisstrict;
	call->handler.fn_retset = proc->proretset;
	call->handler.fn_expr = call_expression(call);
	call->returns_set = proc->proretset;
	/* As for any procedure: not with SET clauses, not as a definer. */
	call->may_commit = !proc->proretset && !InLocalUserIdChange() &&
		heap_attisnull(tuple, Anum_pg_proc_proconfig, NULL);
	ReleaseSysCache(tuple);
}

static TupleDesc
expected_desc(const Call *call, int first)
{
	TupleDesc	desc = CreateTemplateTupleDesc(call->ncolumns - first);

	for (size_t i = first; i < call->ncolumns; i++)
	{
		const aside_column *column = &call->columns[i];
		AttrNumber	number = i - first + 1;

		if (column->type != 0)
			aside_check_type_visible(column->type, "column",
									 pnstrdup((const char *) column->name.data, column->name.len));
		TupleDescInitEntry(desc, number,
						   column->type == 0 ? NULL : pnstrdup((const char *) column->name.data, column->name.len),
						   column->type == 0 ? INT4OID : column->type, column->typmod, 0);
		if (column->type == 0)
			TupleDescAttr(desc, number - 1)->attisdropped = true;
	}
	return BlessTupleDesc(desc);
}

static void
send_values(const Call *call, Datum *values, bool *nulls)
{
	TupleDesc	desc = CreateTemplateTupleDesc(call->ncolumns);

	for (size_t i = 0; i < call->ncolumns; i++)
		TupleDescInitEntry(desc, i + 1, NULL, call->columns[i].type == 0 ? INT4OID : call->columns[i].type,
						   call->columns[i].typmod, 0);
	aside_send_values(call->sink, desc, values, nulls);
}

static void
send_composite(const Call *call, Datum result, bool null)
{
	Datum	   *values = palloc0(sizeof(Datum) * call->ncolumns);
	bool	   *nulls = palloc(sizeof(bool) * call->ncolumns);

	memset(nulls, true, sizeof(bool) * call->ncolumns);
	values[0] = BoolGetDatum(null);
	nulls[0] = false;
	if (!null)
	{
		HeapTupleHeader header = DatumGetHeapTupleHeader(result);
		TupleDesc	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header),
												  HeapTupleHeaderGetTypMod(header));
		HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(header), .t_data = header};

		if (desc->natts != call->ncolumns - 1)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("autonomous function returned a row of %d columns, where %d are expected",
							desc->natts, (int) call->ncolumns - 1)));
		heap_deform_tuple(&tuple, desc, values + 1, nulls + 1);
		ReleaseTupleDesc(desc);
	}
	send_values(call, values, nulls);
}

static void
send_set(const Call *call, ReturnSetInfo *result)
{
	TupleTableSlot *slot;

	if (result->returnMode != SFRM_Materialize || result->setResult == NULL)
		return;
	slot = MakeSingleTupleTableSlot(result->setDesc != NULL ? result->setDesc : result->expectedDesc,
									&TTSOpsMinimalTuple);
	while (tuplestore_gettupleslot(result->setResult, true, false, slot))
	{
		CHECK_FOR_INTERRUPTS();
		aside_send_slot(call->sink, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(result->setResult);
}

static void
invoke_function(Call *call)
{
	LOCAL_FCINFO(fcinfo, FUNC_MAX_ARGS);
	CallContext context = {.type = T_CallContext, .atomic = !call->may_commit};
	ReturnSetInfo result = {.type = T_ReturnSetInfo};
	bool		composite = call->routine->kind == ASIDE_ROUTINE_COMPOSITE;
	Datum		value;

	InitFunctionCallInfoData(*fcinfo, &call->handler, call->nargs, InvalidOid, (Node *) &context, NULL);
	for (size_t i = 0; i < call->nargs; i++)
	{
		fcinfo->args[i].isnull = call->args[i].form == ASIDE_ARG_NULL;
		fcinfo->args[i].value = fcinfo->args[i].isnull ? (Datum) 0 :
			aside_argument_datum(&call->args[i], call->args[i].type);
	}
	if (composite || call->returns_set)
	{
		result.econtext = CreateStandaloneExprContext();
		result.econtext->ecxt_per_query_memory = CurrentMemoryContext;
		result.expectedDesc = expected_desc(call, composite ? 1 : 0);
		result.allowedModes = SFRM_Materialize;
		result.returnMode = SFRM_ValuePerCall;
		fcinfo->resultinfo = (Node *) &result;
	}
	value = FunctionCallInvoke(fcinfo);
	if (call->returns_set)
		send_set(call, &result);
	else if (composite)
		send_composite(call, value, fcinfo->isnull);
	else if (call->ncolumns == 1)
		send_values(call, &value, &fcinfo->isnull);
}

static HeapTuple
tuple_at(const char *data, uint32 length, Oid relation)
{
	HeapTuple	tuple;

	if (length == 0)
		return NULL;
	tuple = palloc0(HEAPTUPLESIZE + length);
	tuple->t_len = length;
	ItemPointerSetInvalid(&tuple->t_self);
	tuple->t_tableOid = relation;
	tuple->t_data = (HeapTupleHeader) ((char *) tuple + HEAPTUPLESIZE);
	memcpy(tuple->t_data, data, length);
	return tuple;
}

static Trigger *
find_trigger(Relation relation, Oid trigger)
{
	for (int i = 0; relation->trigdesc != NULL && i < relation->trigdesc->numtriggers; i++)
		if (relation->trigdesc->triggers[i].tgoid == trigger)
			return &relation->trigdesc->triggers[i];
	refuse_unseen("trigger");
	return NULL;
}

static void
send_trigger_result(const Call *call, HeapTuple returned, const TriggerData *data)
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
	send_values(call, values, nulls);
}

static void
invoke_trigger(Call *call)
{
	LOCAL_FCINFO(fcinfo, 0);
	const AsideRoutine *routine = call->routine;
	const char *tuples = ASIDE_ROUTINE_TUPLES(routine);
	TriggerData data = {.type = T_TriggerData, .tg_event = routine->event};
	HeapTuple	returned;

	/* Looked up without a lock first: the caller's lock on a table of its own making would not be granted. */
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(routine->relation)))
		refuse_unseen("relation of the trigger");
	data.tg_relation = relation_open(routine->relation, AccessShareLock);
	data.tg_trigger = find_trigger(data.tg_relation, routine->trigger);
	data.tg_trigtuple = tuple_at(tuples, routine->old_length, routine->relation);
	data.tg_newtuple = tuple_at(tuples + MAXALIGN(routine->old_length), routine->new_length,
								routine->relation);
	InitFunctionCallInfoData(*fcinfo, &call->handler, 0, InvalidOid, (Node *) &data, NULL);
	returned = (HeapTuple) DatumGetPointer(FunctionCallInvoke(fcinfo));
	send_trigger_result(call, returned, &data);
	relation_close(data.tg_relation, AccessShareLock);
}

/* What PortalRun and PortalRunUtility do around a CALL. */
static void
run_in_portal(Call *call)
{
	Portal		portal = CreatePortal("", true, true);
	Portal		save_active = ActivePortal;
	ResourceOwner save_owner = CurrentResourceOwner;
	MemoryContext save_context = PortalContext;

	portal->visible = false;
	PortalDefineQuery(portal, NULL, aside_command, CMDTAG_CALL, NIL, NULL);
	portal->strategy = PORTAL_MULTI_QUERY;
	portal->status = PORTAL_READY;
	MarkPortalActive(portal);
	PG_TRY();
	{
		ActivePortal = portal;
		if (portal->resowner != NULL)
			CurrentResourceOwner = portal->resowner;
		PortalContext = portal->portalContext;
		PushActiveSnapshotWithLevel(GetTransactionSnapshot(), portal->createLevel);
		portal->portalSnapshot = GetActiveSnapshot();
		MemoryContextSwitchTo(aside_request_context);
		if (call->routine->kind == ASIDE_ROUTINE_TRIGGER)
			invoke_trigger(call);
		else
			invoke_function(call);
		if (portal->portalSnapshot != NULL && ActiveSnapshotSet())
			PopActiveSnapshot();
		portal->portalSnapshot = NULL;
	}
	PG_CATCH();
	{
		MarkPortalFailed(portal);
		ActivePortal = save_active;
		CurrentResourceOwner = save_owner;
		PortalContext = save_context;
		PG_RE_THROW();
	}
	PG_END_TRY();
	ActivePortal = save_active;
	/* A COMMIT within has replaced the transaction's resource owner. */
	CurrentResourceOwner = CurTransactionResourceOwner;
	PortalContext = save_context;
	MarkPortalDone(portal);
	PortalDrop(portal, false);
}

aside_status
aside_host_run_routine(aside_bytes routine, const aside_arg *args, size_t nargs,
					   const aside_column *columns, size_t ncolumns, void *sink)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		Call		call = {
			.routine = (const AsideRoutine *) routine.data,
			.args = args,
			.nargs = nargs,
			.columns = columns,
			.ncolumns = ncolumns,
			.sink = sink,
		};
		MemoryContext old = MemoryContextSwitchTo(aside_request_context);

		for (size_t i = 0; i < nargs; i++)
			aside_check_type_visible(args[i].type, "argument", psprintf("%zu", i + 1));
		find_handler(&call);
		run_in_portal(&call);
		if (call.routine->error_if_uncommitted && TransactionIdIsValid(GetTopTransactionIdIfAny()))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
					 errmsg("autonomous routine ended with its transaction uncommitted"),
					 errhint("End it with COMMIT or ROLLBACK, or set \"aside.uncommitted_at_exit\" to \"commit\".")));
		MemoryContextSwitchTo(old);
	}
	ASIDE_END_TRY();
	return status;
}
