/*
 * worker/prepare.c
 *	  Parses, analyzes and plans the statements of a command, and keeps plans,
 *	  as the server does for a client's extended query.
 */
#include "call/call.h"
#include "worker/worker.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/analyze.h"
#include "parser/parse_node.h"
#include "parser/parse_param.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/snapmgr.h"

/* Statements of the running command, and how many messages had gone to the caller before it was parsed. */
static List *statements = NIL;
static uint64_t messages_before = 0;

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

		messages_before = aside_messages_relayed;
		aside_log_command(aside_command);
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

/* What the server refuses by itself, or does without a wait, is left to the server. */
static uint32
refusal_of_concurrently(const RangeVar *relation)
{
	Oid			oid;

	if (list_length(statements) > 1 || IsTransactionBlock())
		return ASIDE_ALLOWED;
	if (relation == NULL)
		return ASIDE_REFUSE_CONCURRENTLY;
	oid = RangeVarGetRelid(relation, NoLock, true);
	if (!OidIsValid(oid) || get_rel_persistence(oid) == RELPERSISTENCE_TEMP)
		return ASIDE_ALLOWED;
	return ASIDE_REFUSE_CONCURRENTLY;
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
			return ((IndexStmt *) statement)->concurrent ?
				refusal_of_concurrently(((IndexStmt *) statement)->relation) : ASIDE_ALLOWED;
		case T_ReindexStmt:
			return has_true_option(((ReindexStmt *) statement)->params, "concurrently") ?
				refusal_of_concurrently(((ReindexStmt *) statement)->relation) : ASIDE_ALLOWED;
		default:
			return ASIDE_ALLOWED;
	}
}

/*
 * Would another analysis in the same state of the catalogs come to the same?
 * If analysis has sent the caller a message, each analysis must send it.
 */
static bool
is_lasting(Query *query)
{
	return (query->commandType != CMD_UTILITY || IsA(query->utilityStmt, CallStmt)) &&
		aside_messages_relayed == messages_before &&
		!aside_has_fleeting_literal((Node *) query, NULL);
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
	List	   *rewritten;

	out->changes = aside_catalog_changes();
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
	/* Rewriting adds stored expressions, whose literals were read when these were stored. */
	out->cacheable = is_lasting(query);
	rewritten = pg_rewrite_query(query);
	out->cacheable = out->cacheable && !aside_has_fleeting_call((Node *) rewritten, NULL);
	CompleteCachedPlan(source, rewritten, NULL, parameters.types, parameters.ntypes,
					   NULL, NULL, CURSOR_OPT_PARALLEL_OK, false);
	if (snapshot)
		PopActiveSnapshot();
	out->params = parameters.highest;
	out->plan = source;
}

/* In a session, after an error: only a statement that ends the transaction may run. */
void
aside_refuse_in_failed_transaction(Node *statement)
{
	if (!IsAbortedTransactionBlockState())
		return;
	if (IsA(statement, TransactionStmt))
	{
		TransactionStmtKind kind = ((TransactionStmt *) statement)->kind;

		if (kind == TRANS_STMT_COMMIT || kind == TRANS_STMT_ROLLBACK || kind == TRANS_STMT_ROLLBACK_TO ||
			kind == TRANS_STMT_PREPARE)
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_IN_FAILED_SQL_TRANSACTION),
			 errmsg("current transaction is aborted, commands ignored until end of transaction block")));
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
		aside_refuse_in_failed_transaction(raw->stmt);
		out->refused = refusal_of(raw->stmt);
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

aside_status
aside_host_lock_plan(void *plan, uint64_t *changes)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		CachedPlanSource *source = plan;

		aside_refuse_in_failed_transaction(source->raw_parse_tree->stmt);
		*changes = aside_lock_queries(source->query_list);
	}
	ASIDE_END_TRY();
	return status;
}
