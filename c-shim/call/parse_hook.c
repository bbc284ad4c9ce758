/*
 * call/parse_hook.c
 *	  Says what to do about a parameter of our functions that has no type.
 *
 * Drivers send parameters without types and let the server infer them from
 * their use. Our functions take arguments of any type, so nothing can be
 * inferred. Without this hook the server refuses such a call without a hint.
 */
#include "call/call.h"

#include "catalog/dependency.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "parser/analyze.h"
#include "parser/parse_node.h"
#include "utils/lsyscache.h"

static post_parse_analyze_hook_type prev_post_parse_analyze_hook = NULL;

static bool
is_ours(Oid function)
{
	Oid			extension = getExtensionOfObject(ProcedureRelationId, function);

	return OidIsValid(extension) && extension == get_extension_oid("pg_aside", true);
}

static bool
find_untyped(Node *node, void *found)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, find_untyped, found, 0);
	if (IsA(node, FuncExpr))
	{
		ListCell   *cell;

		foreach(cell, ((FuncExpr *) node)->args)
		{
			Param	   *param = lfirst(cell);

			if (IsA(param, Param) && param->paramkind == PARAM_EXTERN && param->paramtype == UNKNOWNOID &&
				is_ours(((FuncExpr *) node)->funcid))
			{
				*(Param **) found = param;
				return true;
			}
		}
	}
	return expression_tree_walker(node, find_untyped, found);
}

static void
look_at_parameters(ParseState *pstate, Query *query, ASIDE_JUMBLE *jumble)
{
	Param	   *untyped = NULL;

	if (pstate->p_paramref_hook != NULL && query->commandType != CMD_UTILITY &&
		find_untyped((Node *) query, &untyped))
		ereport(ERROR,
				(errcode(ERRCODE_INDETERMINATE_DATATYPE),
				 errmsg("could not determine data type of parameter $%d", untyped->paramid),
				 errhint("Cast the parameter, for example as $%d::text.", untyped->paramid),
				 parser_errposition(pstate, untyped->location)));
	if (prev_post_parse_analyze_hook != NULL)
		prev_post_parse_analyze_hook(pstate, query, jumble);
}

void
aside_install_parse_hook(void)
{
	prev_post_parse_analyze_hook = post_parse_analyze_hook;
	post_parse_analyze_hook = look_at_parameters;
}
