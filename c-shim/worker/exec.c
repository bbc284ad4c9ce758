/*
 * worker/exec.c
 *	  Runs one statement of a command that worker/prepare.c has prepared:
 *	  binds its parameters, gives it to the executor or to a portal, and sends
 *	  its rows.
 */
#include "call/call.h"
#include "worker/worker.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "commands/prepare.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/params.h"
#include "nodes/parsenodes.h"
#include "parser/analyze.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/guc.h"
#include "utils/plancache.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"

QueryCompletion aside_last_completion;

/*
 * Does the statement make sense only within a transaction block? Such a
 * statement gets a block even if it is the only one.
 */
static bool
needs_block(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_LockStmt:
		case T_DeclareCursorStmt:
		case T_ConstraintsSetStmt:
			return true;
		case T_VariableSetStmt:
			return ((VariableSetStmt *) statement)->is_local ||
				((VariableSetStmt *) statement)->kind == VAR_SET_MULTI;
		default:
			return false;
	}
}

static ParamListInfo
bind_parameters(CachedPlanSource *source, const aside_arg *args, size_t nargs)
{
	int			count = source->num_params;
	ParamListInfo params;

	if (count == 0)
		return NULL;
	params = makeParamList(count);
	for (int i = 0; i < count; i++)
	{
		ParamExternData *param = &params->params[i];
		bool		untyped = source->param_types[i] == InvalidOid ||
			source->param_types[i] == UNKNOWNOID;

		param->ptype = source->param_types[i];
		param->pflags = PARAM_FLAG_CONST;
		/* A parameter that this statement does not name may have no type. */
		param->isnull = i >= nargs || args[i].form == ASIDE_ARG_NULL || untyped;
		if (!param->isnull && args[i].form == ASIDE_ARG_BYREF)
			aside_check_type_visible(param->ptype, "argument", psprintf("$%d", i + 1));
		if (!param->isnull)
			param->value = aside_argument_datum(&args[i], param->ptype);
	}
	return params;
}

/* The statement names a prepared statement or a cursor. If that does not exist, the server says so. */
static void
require_source(Node *statement)
{
	if (IsA(statement, ExecuteStmt))
		(void) FetchPreparedStatement(((ExecuteStmt *) statement)->name, true);
	if (IsA(statement, FetchStmt) && !PortalIsValid(GetPortalByName(((FetchStmt *) statement)->portalname)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_CURSOR),
				 errmsg("cursor \"%s\" does not exist", ((FetchStmt *) statement)->portalname)));
}

/* Where the rows of a statement go; desc is NULL if it returns none. */
static DestReceiver *
receiver_for(Node *statement, TupleDesc desc, uint32 output, const aside_column *columns, size_t ncolumns, void *sink)
{
	/* The end of a transaction has a row of no columns. */
	if ((output == ASIDE_OUTPUT_DESCRIBED || output == ASIDE_OUTPUT_TEXT) && desc != NULL && desc->natts == 0)
		return None_Receiver;
	if (output != ASIDE_OUTPUT_NONE && desc != NULL)
		return aside_create_receiver(desc, output, columns, ncolumns, sink);
	if (output == ASIDE_OUTPUT_ROWS)
		require_source(statement);
	for (size_t i = 0; output == ASIDE_OUTPUT_ROWS && i < ncolumns; i++)
		if (columns[i].type != 0)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("command returns no columns"),
					 errdetail("The caller expects column \"%s\".",
							   pnstrdup((const char *) columns[i].name.data, columns[i].name.len))));
	return None_Receiver;
}

/*
 * A statement is at top level, as a client's would be. But a definer's
 * statement must not end the transaction, because the definer's identity
 * would end with it.
 */
static bool
is_top_level(Node *statement)
{
	if (!InLocalUserIdChange())
		return true;
	return ASIDE_DEFINER_IS_TOP_LEVEL && !IsA(statement, CallStmt) && !IsA(statement, DoStmt);
}

/* The one query of a plan, if that is all there is to it. */
static PlannedStmt *
only_query(CachedPlan *plan)
{
	PlannedStmt *statement;

	if (list_length(plan->stmt_list) != 1)
		return NULL;
	statement = linitial_node(PlannedStmt, plan->stmt_list);
	return statement->commandType == CMD_UTILITY ? NULL : statement;
}

/* A query goes straight to the executor, as from within a function. */
static uint64
run_query(PlannedStmt *statement, CommandTag tag, ParamListInfo params, uint32 output,
		  const aside_column *columns, size_t ncolumns, void *sink)
{
	bool		returns_rows = statement->commandType == CMD_SELECT || statement->hasReturning;
	QueryDesc  *query = CreateQueryDesc(statement, aside_command, GetActiveSnapshot(),
										InvalidSnapshot, None_Receiver, params, NULL, 0);
	DestReceiver *receiver;
	uint64		processed;

	ExecutorStart(query, 0);
	receiver = receiver_for((Node *) statement, returns_rows ? query->tupDesc : NULL, output, columns, ncolumns,
							sink);
	query->dest = receiver;
	aside_executor_run(query);
	processed = query->estate->es_processed;
	ExecutorFinish(query);
	ExecutorEnd(query);
	SetQueryCompletion(&aside_last_completion, tag, processed);
	FreeQueryDesc(query);
	receiver->rDestroy(receiver);
	return processed;
}

/* Everything else needs a portal: utility commands, and a command that rules have turned into several. */
static uint64
run_portal(CachedPlanSource *source, ParamListInfo params, uint32 output,
		   const aside_column *columns, size_t ncolumns, void *sink)
{
	bool		snapshot = analyze_requires_snapshot(source->raw_parse_tree);
	Portal		portal = CreatePortal("", true, true);
	DestReceiver *receiver;
	QueryCompletion *completion = &aside_last_completion;
	CachedPlan *plan;

	portal->visible = false;
	if (snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	plan = GetCachedPlan(source, params, NULL, NULL);
	PortalDefineQuery(portal, NULL, aside_command, source->commandTag, plan->stmt_list, plan);
	if (snapshot)
		PopActiveSnapshot();
	PortalStart(portal, params, 0, InvalidSnapshot);
	receiver = receiver_for(source->raw_parse_tree->stmt, portal->tupDesc, output, columns, ncolumns, sink);
	SetQueryCompletion(completion, source->commandTag, 0);
	(void) aside_portal_run(portal, is_top_level(source->raw_parse_tree->stmt), receiver,
							completion);
	receiver->rDestroy(receiver);
	PortalDrop(portal, false);
	return completion->nprocessed;
}

/*
 * The server does not let its background processes listen, because one that
 * does not read would hold up the queue for all. The worker of a session
 * reads whenever it is outside of a transaction, as a client's backend does.
 */
static bool
run_listen(Node *statement)
{
	if (!IsA(statement, ListenStmt) && !IsA(statement, UnlistenStmt))
		return false;
	PreventCommandDuringRecovery(IsA(statement, ListenStmt) ? "LISTEN" : "UNLISTEN");
	if (IsA(statement, ListenStmt))
		Async_Listen(((ListenStmt *) statement)->conditionname);
	else if (((UnlistenStmt *) statement)->conditionname != NULL)
		Async_Unlisten(((UnlistenStmt *) statement)->conditionname);
	else
		Async_UnlistenAll();
	SetQueryCompletion(&aside_last_completion, CreateCommandTag(statement), 0);
	return true;
}

static uint64
run_statement(CachedPlanSource *source, bool several, const aside_arg *args, size_t nargs,
			  uint32 output, const aside_column *columns, size_t ncolumns, void *sink)
{
	bool		snapshot = analyze_requires_snapshot(source->raw_parse_tree);
	MemoryContext old;
	ParamListInfo params;
	CachedPlan *plan;
	PlannedStmt *query;
	uint64		processed;
	Node	   *statement = source->raw_parse_tree->stmt;
	ParamsErrorCbData named = {.portalName = ""};
	ErrorContextCallback named_context = {.callback = ParamsErrorCallback, .arg = &named};

	aside_refuse_in_failed_transaction(statement);
	aside_log_statement(statement, args, nargs);
	if (several || (!aside_in_session && needs_block(statement)))
		BeginImplicitTransactionBlock();
	if (run_listen(statement))
		return 0;
	/* Not a portal's context, whose children go away while it runs. */
	old = MemoryContextSwitchTo(aside_request_context);
	if (snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	params = bind_parameters(source, args, nargs);
	if (params != NULL && log_parameter_max_length_on_error != 0)
	{
		params->paramValuesStr = BuildParamLogString(params, NULL, log_parameter_max_length_on_error);
		named.params = params;
		named_context.previous = error_context_stack;
		error_context_stack = &named_context;
	}
	/* A plan that is kept is held by the resource owner, and so survives an error. */
	plan = source->is_saved ? GetCachedPlan(source, params, CurrentResourceOwner, NULL) : NULL;
	query = plan == NULL ? NULL : only_query(plan);
	if (query != NULL)
		processed = run_query(query, source->commandTag, params, output, columns, ncolumns, sink);
	if (plan != NULL)
		ReleaseCachedPlan(plan, CurrentResourceOwner);
	if (snapshot)
		PopActiveSnapshot();
	if (query == NULL)
		processed = run_portal(source, params, output, columns, ncolumns, sink);
	if (named.params != NULL)
		error_context_stack = named_context.previous;
	MemoryContextSwitchTo(old);
	return processed;
}

aside_status
aside_host_run(void *plan, bool several, const aside_arg *args, size_t nargs,
			   uint32_t output, const aside_column *columns, size_t ncolumns,
			   void *sink, uint64_t *processed)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		aside_log_command(aside_command);
		*processed = run_statement(plan, several, args, nargs, output, columns, ncolumns, sink);
	}
	ASIDE_END_TRY();
	return status;
}
