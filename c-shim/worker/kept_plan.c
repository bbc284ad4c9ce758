/*
 * worker/kept_plan.c
 *	  What a kept plan depends on: the catalogs as they were when its command
 *	  was analyzed.
 *
 * The server's own plan cache watches the objects that a plan names. That does
 * not ensure that a command's text still means what it would mean if it came
 * anew: no plan names the better function, the cast, or the table earlier in
 * the search_path that has appeared since. So every change counts, and the
 * core then forgets every plan.
 */
#include "worker/worker.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

static uint64_t changes = 1;

static void
catalog_changed(Datum arg, int cache, uint32 hash)
{
	changes++;
}

static void
relation_changed(Datum arg, Oid relation)
{
	changes++;
}

/*
 * One cache for each catalog that analysis, rewriting or planning reads. A
 * change of columns, constraints, rules or policies comes as a change of
 * their relation. The server itself watches what only the planner reads, such
 * as operator families and foreign servers.
 */
void
aside_watch_catalogs(void)
{
	static const int caches[] = {
		TYPEOID, PROCOID, OPEROID, CASTSOURCETARGET, ENUMOID, COLLOID, NAMESPACEOID,
		AUTHOID, AUTHMEMROLEMEM, TSCONFIGOID, TSCONFIGMAP, TSDICTOID
	};

	for (int i = 0; i < lengthof(caches); i++)
		CacheRegisterSyscacheCallback(caches[i], catalog_changed, (Datum) 0);
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
}

/* A number that changes whenever this process hears that the catalogs have. */
uint64_t
aside_catalog_changes(void)
{
	return changes;
}

/*
 * What a plan's queries read is locked as the server would lock it; so this
 * process hears of what was done to it.  Queries are within queries as
 * subqueries and views, as common tables, and in sublinks.  Only the last are
 * looked for in expressions, and where the query has none, nothing is.
 */
static bool
lock_relations(Node *node, void *context)
{
	Query	   *query = (Query *) node;
	ListCell   *cell;

	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, lock_relations, context);
	foreach(cell, query->rtable)
	{
		RangeTblEntry *entry = lfirst_node(RangeTblEntry, cell);

		/* From 16 on, the subquery that a view has become is locked as the view. */
		if (OidIsValid(entry->relid) && entry->rellockmode != NoLock)
			LockRelationOid(entry->relid, entry->rellockmode);
		if (entry->rtekind == RTE_SUBQUERY)
			(void) lock_relations((Node *) entry->subquery, context);
	}
	foreach(cell, query->cteList)
		(void) lock_relations(lfirst_node(CommonTableExpr, cell)->ctequery, context);
	return query->hasSubLinks &&
		query_tree_walker(query, lock_relations, context, QTW_IGNORE_RC_SUBQUERIES);
}

/* Lock what analyzed and rewritten queries read. Returns the number of changes of the catalogs then. */
uint64_t
aside_lock_queries(List *queries)
{
	ListCell   *cell;

	foreach(cell, queries)
		(void) lock_relations(lfirst(cell), NULL);
	return changes;
}

/*
 * May the text of a literal of this type mean another value at another time?
 * Times may: 'now'.  Names are looked up in catalogs that are watched, and
 * what else is not immutable here goes by settings, by which a plan is found.
 */
static bool
goes_by_the_clock(Oid type)
{
	Oid			inner;
	Oid			io_param;

	check_stack_depth();
	type = getBaseType(type);
	if (OidIsValid(inner = get_element_type(type)) || OidIsValid(inner = get_range_subtype(type)) ||
		OidIsValid(inner = get_multirange_range(type)))
		return goes_by_the_clock(inner);
	switch (type)
	{
		case REGCLASSOID:
		case REGCOLLATIONOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
		case REGNAMESPACEOID:
		case REGOPERATOROID:
		case REGOPEROID:
		case REGPROCEDUREOID:
		case REGPROCOID:
		case REGROLEOID:
		case REGTYPEOID:
		case INTERVALOID:
		case MONEYOID:
		case XMLOID:
			return false;
		default:
			break;
	}
	if (get_typtype(type) == TYPTYPE_ENUM)
		return false;
	getTypeInputInfo(type, &inner, &io_param);
	return func_volatile(inner) != PROVOLATILE_IMMUTABLE;
}

/* Of a query as analyzed: does it hold a literal that would be another one at another time? */
bool
aside_has_fleeting_literal(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Const))
		return !((Const *) node)->constisnull && goes_by_the_clock(((Const *) node)->consttype);
	if (!IsA(node, Query))
		return expression_tree_walker(node, aside_has_fleeting_literal, context);
	if (((Query *) node)->utilityStmt != NULL)
		return IsA(((Query *) node)->utilityStmt, CallStmt) &&
			(aside_has_fleeting_literal((Node *) ((CallStmt *) ((Query *) node)->utilityStmt)->funcexpr, context) ||
			 aside_has_fleeting_literal((Node *) ((CallStmt *) ((Query *) node)->utilityStmt)->outargs, context));
	return query_tree_walker((Query *) node, aside_has_fleeting_literal, context, 0);
}

/* Is the text of a function's body one SELECT?  What is wrong with it, the server says when it runs. */
static bool
is_one_select(const char *body)
{
	MemoryContext context = CurrentMemoryContext;
	bool		warned = aside_warn_of_backslashes(false);
	volatile bool one = true;

	PG_TRY();
	{
		List	   *statements = pg_parse_query(body);

		one = list_length(statements) == 1 && IsA(linitial_node(RawStmt, statements)->stmt, SelectStmt);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		FlushErrorState();
	}
	PG_END_TRY();
	aside_warn_of_backslashes(warned);
	return one;
}

/* The planner takes in the bodies of such functions only. */
static bool
may_be_inlined(HeapTuple tuple)
{
	Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(tuple);
	bool		none;
	Datum		body;

	if (proc->prolang != SQLlanguageId || proc->prosecdef || !heap_attisnull(tuple, Anum_pg_proc_proconfig, NULL))
		return false;
	/* One that was analyzed when it was made is taken for a SELECT. */
	if (!heap_attisnull(tuple, Anum_pg_proc_prosqlbody, NULL))
		return true;
	body = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &none);
	return none || is_one_select(TextDatumGetCString(body));
}

/*
 * The planner takes the body of a function in SQL in, literals and all, and
 * evaluates what calls itself immutable.  Compiled code is taken at its word.
 */
static bool
is_evaluated_by_planner(Oid function, void *context)
{
	HeapTuple	tuple;
	Form_pg_proc proc;
	bool		evaluated;

	if (function < FirstNormalObjectId)
		return false;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		return true;
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	evaluated = (proc->provolatile == PROVOLATILE_IMMUTABLE && proc->prolang != ClanguageId &&
				 proc->prolang != INTERNALlanguageId) || may_be_inlined(tuple);
	ReleaseSysCache(tuple);
	return evaluated;
}

/* Of queries as rewritten: do they call a function whose result a plan would hold on to? */
bool
aside_has_fleeting_call(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, aside_has_fleeting_call, context, 0);
	return check_functions_in_node(node, is_evaluated_by_planner, context) ||
		expression_tree_walker(node, aside_has_fleeting_call, context);
}
