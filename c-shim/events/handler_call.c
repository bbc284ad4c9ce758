/*
 * events/handler_call.c
 *	  The handler of the events that this worker has: its definition, and the
 *	  call. The plan of a call is kept for as long as a new plan would do the
 *	  same.
 */
#include "call/call.h"
#include "coordinator/coordinator.h"
#include "definitions/definition.h"
#include "events/handler.h"
#include "worker/worker.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "tcop/tcopprot.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/syscache.h"

/* A plan that is kept for as long as a new one would be the same. */
typedef struct KeptPlan
{
	SPIPlanPtr	plan;			/* NULL: none */
	uint64_t	changes;		/* of the catalogs, before its analysis */
	uint64		settings;
} KeptPlan;

/* The last handler of this process, for as long as its definition holds. */
typedef struct Handler
{
	aside_handler_name name;
	char	   *called;			/* the handler's name */
	AsideHandlerForm form;
	char	   *text;			/* the function's signature, or the command */
	Oid			function;		/* the function, and its owner, when the handler was defined */
	Oid			function_owner;
	bool		several;		/* a command of several statements */
	int			version;
	uint32		changes;		/* number of announced changes of handlers when this definition was last read */
	KeptPlan	plans[2];		/* of events, of notifications */
} Handler;

static Handler handler;

static Oid
oid_at(SPITupleTable *table, int column)
{
	bool		null;
	Datum		value = SPI_getbinval(table->vals[0], table->tupdesc, column, &null);

	return null ? InvalidOid : DatumGetObjectId(value);
}

/*
 * Call this as the owner of the tables. False: the handler is paused or gone,
 * or order matters to it as the coordinator does not know yet; it has been
 * told, and will ask again. Any other change holds from here on: so changes
 * that come faster than batches begin keep none of them waiting. This process
 * has processed every change of handlers that was announced before.
 */
bool
aside_load_handler(const aside_handler_name *name)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(name->id)};
	uint32		changes = aside_handler_changes();
	SPITupleTable *found;
	int			version;
	bool		null;

	if (aside_hold_tables() != name->tables)
		return false;
	if (handler.text != NULL && memcmp(&handler.name, name, sizeof(*name)) == 0 && handler.changes == changes)
		return true;
	aside_execute_by_place(&plan, "SELECT form, coalesce(handler, command), name, version, paused, function, function_owner, ordered FROM aside.event_handler "
						  "WHERE id OPERATOR(pg_catalog.=) $1", 1, types, values);
	found = SPI_tuptable;
	if (SPI_processed != 1 || DatumGetBool(SPI_getbinval(found->vals[0], found->tupdesc, 5, &null)) ||
		DatumGetBool(SPI_getbinval(found->vals[0], found->tupdesc, 8, &null)) != (name->ordered != 0))
		return false;
	version = DatumGetInt32(SPI_getbinval(found->vals[0], found->tupdesc, 4, &null));
	if (handler.text != NULL && memcmp(&handler.name, name, sizeof(*name)) == 0 && handler.version == version)
	{
		handler.changes = changes;
		return true;
	}
	for (int i = 0; i < lengthof(handler.plans); i++)
		if (handler.plans[i].plan != NULL)
			SPI_freeplan(handler.plans[i].plan);
	if (handler.text != NULL)
		pfree(handler.text);
	if (handler.called != NULL)
		pfree(handler.called);
	memset(&handler, 0, sizeof(handler));
	handler.form = SPI_getvalue(found->vals[0], found->tupdesc, 1)[0];
	handler.text = MemoryContextStrdup(TopMemoryContext, SPI_getvalue(found->vals[0], found->tupdesc, 2));
	handler.function = oid_at(found, 6);
	handler.function_owner = oid_at(found, 7);
	handler.several = handler.form == ASIDE_FORM_COMMAND && list_length(pg_parse_query(handler.text)) > 1;
	handler.called = MemoryContextStrdup(TopMemoryContext, SPI_getvalue(found->vals[0], found->tupdesc, 3));
	handler.name = *name;
	handler.version = version;
	handler.changes = changes;
	return true;
}

/*
 * Since the coordinator asked, the handler may have got another owner, or its
 * owner may have lost rights. The coordinator will ask again.
 */
bool
aside_handler_may_run(Oid owner)
{
	AsideDefinition definition = {.kind = "handler", .id = handler.name.id, .name = handler.called};

	return aside_definition_owner(&definition) == owner && aside_definition_obstacle(owner) == NULL;
}

/* The type of the argument of a handler of this form, whatever other types bear such names. */
static Oid
argument_type(void)
{
	switch (handler.form)
	{
		case ASIDE_FORM_EVENT:
			return aside_event_type();
		case ASIDE_FORM_ARRAY:
			return get_array_type(aside_event_type());
		case ASIDE_FORM_JSONB:
			return JSONBOID;
		default:
			return TEXTOID;
	}
}

static void
refuse_missing(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_FUNCTION),
			 errmsg("function \"%s\" does not exist", handler.text)));
}

/* The handler's function; 42883 if it does not exist any more. The signature was written under this search_path. */
static Oid
find_function(void)
{
	int			level = NewGUCNestLevel();
	Oid			function;
	Oid		   *arguments;
	int			count;

	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
	function = DatumGetObjectId(DirectFunctionCall1(regprocedurein, CStringGetDatum(handler.text)));
	AtEOXact_GUC(true, level);
	(void) get_func_signature(function, &arguments, &count);
	if (count != 1 || arguments[0] != argument_type())
		refuse_missing();
	return function;
}

/*
 * The owner of the schema can put another function in its place, which would
 * run as the handler's owner. So the function must belong to a role that
 * could make the handler do anything anyway. The function's owner may have
 * given it to another role.
 */
static void
check_function(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		refuse_missing();
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	if (function != handler.function && owner != handler.function_owner && owner != GetUserId() && !superuser_arg(owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("function \"%s\" is not the one with which the event handler was defined", handler.text),
				 errdetail("It belongs to role \"%s\".", GetUserNameFromId(owner, true)),
				 errhint("If it is what the handler is to call, define the handler anew.")));
}

/* The function that a plan of "SELECT function($1)" calls, as its name was understood then. */
static Oid
called_function(SPIPlanPtr plan)
{
	CachedPlanSource *source = linitial(SPI_plan_get_plan_sources(plan));
	Query	   *query = linitial_node(Query, source->query_list);
	Expr	   *call = linitial_node(TargetEntry, query->targetList)->expr;

	if (!IsA(call, FuncExpr))
		refuse_missing();
	return ((FuncExpr *) call)->funcid;
}

/* A name may mean another function the next moment: what is checked is what the plan calls. */
static SPIPlanPtr
prepare_handler(Oid *types)
{
	Oid			argument = argument_type();
	Oid			function;
	char	   *schema;
	char	   *name;
	SPIPlanPtr	plan;

	if (handler.form == ASIDE_FORM_COMMAND)
		return aside_prepare_plan(handler.text, 2, types);
	function = find_function();
	name = get_func_name(function);
	schema = get_namespace_name(get_func_namespace(function));
	if (name == NULL || schema == NULL)
		refuse_missing();
	plan = aside_prepare_plan(psprintf("SELECT %s(%s$1)", quote_qualified_identifier(schema, name),
									   OidIsValid(get_func_variadictype(function)) ? "VARIADIC " : ""),
							  1, &argument);
	check_function(called_function(plan));
	return plan;
}

static bool
still_holds(const KeptPlan *kept)
{
	ListCell   *cell;

	if (kept->settings != aside_settings_version())
		return false;
	foreach(cell, SPI_plan_get_plan_sources(kept->plan))
		if (aside_lock_queries(((CachedPlanSource *) lfirst(cell))->query_list) != kept->changes)
			return false;
	return true;
}

static bool
is_lasting(SPIPlanPtr plan)
{
	ListCell   *cell;

	foreach(cell, SPI_plan_get_plan_sources(plan))
	{
		Node	   *queries = (Node *) ((CachedPlanSource *) lfirst(cell))->query_list;

		if (aside_has_fleeting_literal(queries, NULL) || aside_has_fleeting_call(queries, NULL))
			return false;
	}
	return true;
}

/* The log has it as a client's statement. */
static void
log_handler(SPIPlanPtr plan)
{
	ListCell   *cell;

	foreach(cell, SPI_plan_get_plan_sources(plan))
	{
		CachedPlanSource *source = lfirst(cell);

		aside_log_handler(source->query_string);
		if (source->raw_parse_tree != NULL)
			aside_log_statement(source->raw_parse_tree->stmt, NULL, 0);
	}
}

static void
log_several(void)
{
	ListCell   *cell;

	aside_log_handler(handler.text);
	if (log_statement != LOGSTMT_NONE)
		foreach(cell, pg_parse_query(handler.text))
			aside_log_statement(lfirst_node(RawStmt, cell)->stmt, NULL, 0);
}

/* Run the handler as its owner. A kept plan is used only if a new plan would do the same. */
static void
execute_handler(bool notified, Datum *values, const char *nulls)
{
	KeptPlan   *kept = &handler.plans[notified ? 1 : 0];
	Oid			types[2] = {notified ? TEXTOID : JSONBOID, TEXTOID};
	uint64_t	changes;
	SPIPlanPtr	plan;
	bool		lasting;

	/* Each statement is analyzed when the one before has run. */
	if (handler.several)
	{
		log_several();
		aside_check_handler_code(SPI_execute_with_args(handler.text, 2, types, values, nulls, false, 0));
		return;
	}
	if (kept->plan != NULL && still_holds(kept))
	{
		log_handler(kept->plan);
		aside_execute_plan(kept->plan, values, nulls);
		return;
	}
	if (kept->plan != NULL)
		SPI_freeplan(kept->plan);
	kept->plan = NULL;
	for (;;)
	{
		changes = aside_catalog_changes();
		plan = prepare_handler(types);
		lasting = is_lasting(plan);
		/* If not, the server would understand its names anew when it runs. */
		if (SPI_plan_is_valid(plan))
			break;
		SPI_freeplan(plan);
		CHECK_FOR_INTERRUPTS();
	}
	if (lasting && changes == aside_catalog_changes())
	{
		(void) SPI_keepplan(plan);
		kept->plan = plan;
		kept->changes = changes;
		kept->settings = aside_settings_version();
	}
	log_handler(plan);
	aside_execute_plan(plan, values, nulls);
}

/* A STRICT function is not called for NULL, so it would not have handled the event. */
static void
check_strict(void)
{
	if (func_strict(find_function()))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("function \"%s\" is STRICT, and the event has no payload", handler.text),
				 errhint("Declare it as CALLED ON NULL INPUT.")));
}

static void
call_with_one(const AsideEvent *event)
{
	Datum		values[2] = {event->composite, event->channel};
	char		nulls[3] = "  ";

	switch (handler.form)
	{
		case ASIDE_FORM_JSONB:
			values[0] = event->payload;
			nulls[0] = event->no_payload ? 'n' : ' ';
			/* The payload of a NOTIFY is text, and a handler of this form takes it as JSON. */
			if (event->notified)
				values[0] = DirectFunctionCall1(jsonb_in,
												CStringGetDatum(TextDatumGetCString(event->text)));
			break;
		case ASIDE_FORM_TEXT:
			values[0] = event->text;
			nulls[0] = event->text == (Datum) 0 ? 'n' : ' ';
			break;
		case ASIDE_FORM_COMMAND:
			values[0] = event->notified ? event->text : event->payload;
			nulls[0] = values[0] == (Datum) 0 || (!event->notified && event->no_payload) ? 'n' : ' ';
			break;
		default:
			break;
	}
	if (handler.form != ASIDE_FORM_COMMAND && nulls[0] == 'n')
		check_strict();
	execute_handler(event->notified, values, nulls);
}

static void
call_with_array(const AsideEvent *events, uint32 count)
{
	Datum	   *elements = palloc(sizeof(Datum) * count);
	Datum		values[1];

	for (uint32 i = 0; i < count; i++)
		elements[i] = events[i].composite;
	values[0] = PointerGetDatum(construct_array(elements, count, aside_event_type(), -1, false,
												TYPALIGN_DOUBLE));
	execute_handler(events[0].notified, values, NULL);
}

/* Call the handler. The events are either all recorded, or all notifications. */
void
aside_call_handler(const AsideEvent *events, uint32 count, bool ordered)
{
	if (handler.form == ASIDE_FORM_ARRAY)
	{
		aside_judge_events(0, count);
		call_with_array(events, count);
	}
	else
		for (uint32 i = 0; i < count; i++)
		{
			aside_judge_events(i, 1);
			call_with_one(&events[i]);
			/* Those of its key that follow it wait for it. */
			if (ordered && aside_was_put_off(i, NULL))
			{
				aside_put_off_rest(i + 1);
				break;
			}
		}
}
