/*
 * host_exec.c
 *	  Statements of a command: parsed, analyzed, planned and run the way the
 *	  server treats a client's extended query.
 */
#include "aside.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/analyze.h"
#include "parser/parse_node.h"
#include "parser/parse_param.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"

/* Statements of the running command. */
static List *statements = NIL;

/* The parameters of the statement being analyzed, and the server's own hook below ours. */
typedef struct Parameters
{
	Oid		   *types;
	int			ntypes;
	int			given;
	int			highest;
	ParseParamRefHook inner;
} Parameters;

static Parameters *analyzing = NULL;

aside_status
aside_host_parse(aside_bytes command, uint32_t *count)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		MemoryContext old = MemoryContextSwitchTo(aside_request_context);

		statements = pg_parse_query(aside_command);
		MemoryContextSwitchTo(old);
		*count = list_length(statements);
	}
	ASIDE_END_TRY();
	return status;
}

static Node *
parameter_named(ParseState *pstate, ParamRef *reference)
{
	if (reference->number <= 0 || reference->number > analyzing->given)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_PARAMETER),
				 errmsg("there is no parameter $%d", reference->number),
				 errdetail_plural("The command was given %d argument.",
								  "The command was given %d arguments.",
								  analyzing->given, analyzing->given),
				 parser_errposition(pstate, reference->location)));
	analyzing->highest = Max(analyzing->highest, reference->number);
	return analyzing->inner(pstate, reference);
}

static void
setup_parameters(ParseState *pstate, void *arg)
{
	Parameters *parameters = arg;

	setup_parse_variable_parameters(pstate, &parameters->types, &parameters->ntypes);
	parameters->inner = pstate->p_paramref_hook;
	pstate->p_paramref_hook = parameter_named;
}

/* Parameters whose type the statement was to infer have got one, or are refused. */
static void
check_parameters(Parameters *parameters, Query *query)
{
	ParseState *pstate = make_parsestate(NULL);

	pstate->p_sourcetext = aside_command;
	setup_parse_variable_parameters(pstate, &parameters->types, &parameters->ntypes);
	check_variable_parameters(pstate, query);
	free_parsestate(pstate);
	for (int i = 0; i < parameters->highest; i++)
		if (parameters->types[i] == InvalidOid || parameters->types[i] == UNKNOWNOID)
			ereport(ERROR,
					(errcode(ERRCODE_INDETERMINATE_DATATYPE),
					 errmsg("could not determine data type of parameter $%d", i + 1)));
}

static Query *
analyze(RawStmt *raw, Parameters *parameters)
{
	Parameters *outer = analyzing;
	Query	   *query;

	analyzing = parameters;
	PG_TRY();
	{
		query = parse_analyze_withcb(raw, aside_command, setup_parameters, parameters, NULL);
	}
	PG_FINALLY();
	{
		analyzing = outer;
	}
	PG_END_TRY();
	check_parameters(parameters, query);
	return query;
}

static bool
has_true_option(List *options, const char *name)
{
	ListCell   *cell;

	foreach(cell, options)
		if (strcmp(lfirst_node(DefElem, cell)->defname, name) == 0)
			return defGetBoolean(lfirst_node(DefElem, cell));
	return false;
}

static uint32
refusal_of(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_TransactionStmt:
			return ASIDE_REFUSE_TRANSACTION;
		case T_CopyStmt:
			return ((CopyStmt *) statement)->filename == NULL ? ASIDE_REFUSE_COPY : ASIDE_ALLOWED;
		case T_ListenStmt:
		case T_UnlistenStmt:
			return ASIDE_REFUSE_LISTEN;
		case T_IndexStmt:
			return ((IndexStmt *) statement)->concurrent ? ASIDE_REFUSE_CONCURRENTLY : ASIDE_ALLOWED;
		case T_ReindexStmt:
			return has_true_option(((ReindexStmt *) statement)->params, "concurrently") ?
				ASIDE_REFUSE_CONCURRENTLY : ASIDE_ALLOWED;
		default:
			return ASIDE_ALLOWED;
	}
}

/* Makes sense within a transaction block only; such a statement gets one even if it is alone. */
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

static void
prepare_statement(RawStmt *raw, const aside_arg *args, size_t nargs, aside_statement *out)
{
	Parameters	parameters = {
		.types = palloc(sizeof(Oid) * Max(nargs, 1)),
		.ntypes = nargs,
		.given = nargs,
	};
	bool		snapshot = analyze_requires_snapshot(raw);
	CachedPlanSource *source;
	Query	   *query;

	for (size_t i = 0; i < nargs; i++)
	{
		parameters.types[i] = args[i].type;
		if (OidIsValid(args[i].type))
			aside_check_type_visible(args[i].type, "argument", psprintf("$%zu", i + 1));
	}
	/* The source keeps a copy of the raw tree, to analyze it again when an object has changed. */
	source = CreateCachedPlan(raw, aside_command, CreateCommandTag(raw->stmt));
	if (snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	query = analyze(raw, &parameters);
	out->cacheable = query->commandType != CMD_UTILITY || IsA(query->utilityStmt, CallStmt);
	CompleteCachedPlan(source, pg_rewrite_query(query), NULL, parameters.types, parameters.ntypes,
					   NULL, NULL, CURSOR_OPT_PARALLEL_OK, false);
	if (snapshot)
		PopActiveSnapshot();
	out->params = parameters.highest;
	out->plan = source;
}

aside_status
aside_host_prepare(uint32_t index, const aside_arg *args, size_t nargs, aside_statement *out)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		MemoryContext old = MemoryContextSwitchTo(aside_request_context);
		RawStmt    *raw = list_nth_node(RawStmt, statements, index);

		memset(out, 0, sizeof(*out));
		out->refused = refusal_of(raw->stmt);
		if (out->refused == ASIDE_ALLOWED)
			prepare_statement(raw, args, nargs, out);
		MemoryContextSwitchTo(old);
	}
	ASIDE_END_TRY();
	return status;
}

aside_status
aside_host_keep_plan(void *plan)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		SaveCachedPlan(plan);
	}
	ASIDE_END_TRY();
	return status;
}

void
aside_host_drop_plan(void *plan)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		DropCachedPlan(plan);
	}
	ASIDE_END_TRY();
}

/* The value of an argument that is not NULL. */
Datum
aside_argument_datum(const aside_arg *arg, Oid type)
{
	switch (arg->form)
	{
		case ASIDE_ARG_BYVAL:
			{
				Datum		value;

				memcpy(&value, arg->data.data, sizeof(value));
				return value;
			}
		case ASIDE_ARG_TEXT:
			{
				Oid			input;
				Oid			io_param;
				char	   *text = pnstrdup((const char *) arg->data.data, arg->data.len);

				getTypeInputInfo(type, &input, &io_param);
				return OidInputFunctionCall(input, text, io_param, -1);
			}
		default:
			/* As the caller's server laid it out, aligned, and there until the request ends. */
			return PointerGetDatum(arg->data.data);
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
		/* One that this statement does not name may have no type. */
		param->isnull = i >= nargs || args[i].form == ASIDE_ARG_NULL || untyped;
		if (!param->isnull && args[i].form == ASIDE_ARG_BYREF)
			aside_check_type_visible(param->ptype, "argument", psprintf("$%d", i + 1));
		if (!param->isnull)
			param->value = aside_argument_datum(&args[i], param->ptype);
	}
	return params;
}

/* Where the rows of a statement go; desc is NULL if it returns none. */
static DestReceiver *
receiver_for(TupleDesc desc, uint32 output, const aside_column *columns, size_t ncolumns, void *sink)
{
	if (output != ASIDE_OUTPUT_NONE && desc != NULL)
		return aside_create_receiver(desc, output, columns, ncolumns, sink);
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
 * A statement is at top level, as a client's would be; but what runs as a
 * definer must not end the transaction, and with it the definer's identity.
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
run_query(PlannedStmt *statement, ParamListInfo params, uint32 output,
		  const aside_column *columns, size_t ncolumns, void *sink)
{
	bool		returns_rows = statement->commandType == CMD_SELECT || statement->hasReturning;
	QueryDesc  *query = CreateQueryDesc(statement, aside_command, GetActiveSnapshot(),
										InvalidSnapshot, None_Receiver, params, NULL, 0);
	DestReceiver *receiver;
	uint64		processed;

	ExecutorStart(query, 0);
	receiver = receiver_for(returns_rows ? query->tupDesc : NULL, output, columns, ncolumns, sink);
	query->dest = receiver;
	aside_executor_run(query);
	processed = query->estate->es_processed;
	ExecutorFinish(query);
	ExecutorEnd(query);
	FreeQueryDesc(query);
	receiver->rDestroy(receiver);
	return processed;
}

/* Everything else needs a portal: utility commands, and what rules have made several of. */
static uint64
run_portal(CachedPlanSource *source, ParamListInfo params, uint32 output,
		   const aside_column *columns, size_t ncolumns, void *sink)
{
	bool		snapshot = analyze_requires_snapshot(source->raw_parse_tree);
	Portal		portal = CreatePortal("", true, true);
	DestReceiver *receiver;
	QueryCompletion completion;
	CachedPlan *plan;

	portal->visible = false;
	if (snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	plan = GetCachedPlan(source, params, NULL, NULL);
	PortalDefineQuery(portal, NULL, aside_command, source->commandTag, plan->stmt_list, plan);
	if (snapshot)
		PopActiveSnapshot();
	PortalStart(portal, params, 0, InvalidSnapshot);
	receiver = receiver_for(portal->tupDesc, output, columns, ncolumns, sink);
	InitializeQueryCompletion(&completion);
	(void) aside_portal_run(portal, is_top_level(source->raw_parse_tree->stmt), receiver,
							&completion);
	receiver->rDestroy(receiver);
	PortalDrop(portal, false);
	return completion.nprocessed;
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

	if (several || needs_block(source->raw_parse_tree->stmt))
		BeginImplicitTransactionBlock();
	/* Not a portal's context, whose children go away while it runs. */
	old = MemoryContextSwitchTo(aside_request_context);
	if (snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	params = bind_parameters(source, args, nargs);
	/* A plan that is kept is held by the resource owner, and so survives an error. */
	plan = source->is_saved ? GetCachedPlan(source, params, CurrentResourceOwner, NULL) : NULL;
	query = plan == NULL ? NULL : only_query(plan);
	if (query != NULL)
		processed = run_query(query, params, output, columns, ncolumns, sink);
	if (plan != NULL)
		ReleaseCachedPlan(plan, CurrentResourceOwner);
	if (snapshot)
		PopActiveSnapshot();
	if (query == NULL)
		processed = run_portal(source, params, output, columns, ncolumns, sink);
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
		*processed = run_statement(plan, several, args, nargs, output, columns, ncolumns, sink);
	}
	ASIDE_END_TRY();
	return status;
}
