/*
 * language/worker_routine.c
 *	  LANGUAGE plpgsql_autonomous, the worker's side: PL/pgSQL's own handler
 *	  runs the routine that the caller has named.
 *
 * That handler takes the routine's OID from the FmgrInfo, compiles the routine
 * or finds it compiled, and does not ask for its language. It runs inside an
 * active portal, as a CALL does, so the routine may COMMIT.
 */
#include "call/call.h"
#include "language/routine.h"
#include "worker/worker.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/proclang.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

/* For polymorphic routines: the types of this call. */
static Node *
call_expression(const AsideRoutineCall *call)
{
	List	   *args = NIL;

	for (size_t i = 0; i < call->nargs; i++)
		args = lappend(args, makeNullConst(call->args[i].type, -1, InvalidOid));
	return (Node *) makeFuncExpr(call->routine->function, call->routine->result_type, args,
								 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
}

static Oid
handler_of(bool block)
{
	HeapTuple	tuple = SearchSysCache1(LANGOID, ObjectIdGetDatum(get_language_oid("plpgsql", false)));
	Form_pg_language language = (Form_pg_language) GETSTRUCT(tuple);
	Oid			handler = block ? language->laninline : language->lanplcallfoid;

	ReleaseSysCache(tuple);
	return handler;
}

static void
find_handler(AsideRoutineCall *call)
{
	bool		block = call->routine->kind == ASIDE_ROUTINE_BLOCK;
	HeapTuple	tuple;
	Form_pg_proc proc;

	fmgr_info_cxt(handler_of(block), &call->handler, CurrentMemoryContext);
	/* As for any CALL: not as a definer. */
	call->may_commit = !InLocalUserIdChange();
	if (block)
		return;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(call->routine->function));
	/* The caller's own changes were refused there. */
	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("autonomous function has been dropped while it was called")));
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	call->handler.fn_oid = call->routine->function;
	call->handler.fn_nargs = call->nargs;
	call->handler.fn_strict = proc->proisstrict;
	call->handler.fn_retset = proc->proretset;
	call->handler.fn_expr = call_expression(call);
	call->returns_set = proc->proretset;
	/*
	 * A routine with SET clauses may not commit, either. PL/pgSQL's result
	 * sets and triggers do not outlast a transaction.
	 */
	if (proc->proretset || call->routine->kind == ASIDE_ROUTINE_TRIGGER ||
		!heap_attisnull(tuple, Anum_pg_proc_proconfig, NULL))
		call->may_commit = false;
	ReleaseSysCache(tuple);
}

static TupleDesc
expected_desc(const AsideRoutineCall *call, int first)
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
			aside_drop_attribute(desc, number - 1);
	}
	TupleDescFinalize(desc);
	desc = BlessTupleDesc(desc);
	aside_row_shapes = Max(aside_row_shapes, desc->tdtypmod);
	return desc;
}

/* The worker reads a row by the layout that it knows, and sends it by the layout that the caller expects. */
static void
check_layout(const AsideRoutineCall *call, TupleDesc desc)
{
	bool		fits = desc->natts == call->ncolumns - 1;

	for (int i = 0; fits && i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		fits = (att->attisdropped ? InvalidOid : att->atttypid) == call->columns[i + 1].type;
	}
	if (!fits)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("autonomous function returned a row of another type than its caller expects"),
				 errhint("The type may have been altered during the call.")));
}

static void
send_composite(const AsideRoutineCall *call, Datum result, bool null)
{
	Datum	   *values = palloc0(sizeof(Datum) * call->ncolumns);
	bool	   *nulls = palloc(sizeof(bool) * call->ncolumns);

	memset(nulls, true, sizeof(bool) * call->ncolumns);
	values[0] = BoolGetDatum(null);
	nulls[0] = false;
	if (!null)
	{
		HeapTupleHeader header = aside_returned_row(result);
		TupleDesc	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header),
												  HeapTupleHeaderGetTypMod(header));
		HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(header), .t_data = header};

		check_layout(call, desc);
		heap_deform_tuple(&tuple, desc, values + 1, nulls + 1);
		for (int i = 0; i < desc->natts; i++)
			if (TupleDescAttr(desc, i)->attisdropped)
				nulls[i + 1] = true;
		ReleaseTupleDesc(desc);
	}
	aside_send_result(call, values, nulls);
}

static void
send_set(const AsideRoutineCall *call, ReturnSetInfo *result)
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
invoke_function(AsideRoutineCall *call)
{
	LOCAL_FCINFO(fcinfo, FUNC_MAX_ARGS);
	CallContext context = {.type = T_CallContext, .atomic = !call->may_commit};
	ReturnSetInfo result = {.type = T_ReturnSetInfo};
	bool		composite = call->routine->kind == ASIDE_ROUTINE_COMPOSITE;
	Datum		value;

	InitFunctionCallInfoData(*fcinfo, &call->handler, call->nargs, call->routine->collation,
							 (Node *) &context, NULL);
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
		aside_send_result(call, &value, &fcinfo->isnull);
}

static void
invoke_block(AsideRoutineCall *call)
{
	InlineCodeBlock block = {
		.type = T_InlineCodeBlock,
		.source_text = unconstify(char *, aside_routine_rest(call->routine)),
		.langOid = get_language_oid("plpgsql", false),
		.langIsTrusted = true,
		.atomic = !call->may_commit,
	};

	(void) FunctionCall1(&call->handler, PointerGetDatum(&block));
}

static void
invoke(AsideRoutineCall *call)
{
	switch (call->routine->kind)
	{
		case ASIDE_ROUTINE_BLOCK:
			invoke_block(call);
			break;
		case ASIDE_ROUTINE_TRIGGER:
			aside_invoke_trigger(call);
			break;
		default:
			invoke_function(call);
	}
}

/* Only a routine that could have ended its transaction must have done so. */
static void
check_exit(const AsideRoutineCall *call)
{
	if (call->routine->error_if_uncommitted && call->may_commit &&
		TransactionIdIsValid(GetTopTransactionIdIfAny()))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("autonomous routine ended with its transaction uncommitted"),
				 errhint("End it with COMMIT or ROLLBACK, or set \"aside.uncommitted_at_exit\" to \"commit\".")));
}

/* What PortalRun and PortalRunUtility do around a CALL. */
static void
run_in_portal(AsideRoutineCall *call)
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
		invoke(call);
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
	/* A COMMIT in the routine has replaced the transaction's resource owner. */
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
		AsideRoutineCall call = {
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
		check_exit(&call);
		MemoryContextSwitchTo(old);
	}
	ASIDE_END_TRY();
	return status;
}
