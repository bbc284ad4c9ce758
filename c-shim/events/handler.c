/*
 * events/handler.c
 *	  A handler of events, the worker's side: the events of a batch are read,
 *	  the handler is called as its owner, and the batch is acknowledged, all in
 *	  one transaction.
 *
 * What reads and acknowledges is done as the owner of the tables, by plans
 * that are kept; the handler runs as itself, with nobody's privileges but its
 * own.  The search_path is the handler's all the time: so no query that the
 * tables' owner runs here has a name, or an operator, without its schema.
 */
#include "call/call.h"
#include "coordinator/coordinator.h"
#include "definitions/definition.h"
#include "events/events.h"
#include "worker/worker.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "optimizer/cost.h"
#include "storage/itemptr.h"
#include "tcop/tcopprot.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/regproc.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

/* As rust-core/src/wire/batch.rs lays it out. */
typedef struct Batch
{
	uint32		kind;			/* 0 events, 1 notifications */
	uint32		partition;
	uint32		attempt;
	uint32		count;
	uint64		key;
} Batch;

/* In front of each notification's texts, which are padded to 8 bytes. */
typedef struct NoteHead
{
	uint32		pid;
	uint32		channel_len;
	uint32		payload_len;
	uint32		reserved;
} NoteHead;

/* A plan for as long as a new one would come to the same. */
typedef struct KeptPlan
{
	SPIPlanPtr	plan;			/* NULL: none */
	uint64_t	changes;		/* of the catalogs, before its analysis */
	uint64		settings;
} KeptPlan;

/* What the last handler of this process is, for as long as its definition holds. */
typedef struct Handler
{
	AsideHandlerName name;
	char	   *called;			/* the handler's name */
	char		form;			/* e aside.event, a aside.event[], j jsonb, t text, c command */
	char	   *text;			/* the function's signature, or the command */
	Oid			function;		/* as it was when the handler was defined: it, and its owner */
	Oid			function_owner;
	bool		several;		/* a command of several statements */
	uint32		changes;		/* what was said of handlers when its definition was seen the last time */
	KeptPlan	plans[2];		/* of events, of notifications */
} Handler;

/* One event as a handler is told of it. */
typedef struct Event
{
	int64		id;				/* 0: was not recorded */
	bool		notified;		/* came from a NOTIFY */
	bool		unique;
	Datum		payload;		/* jsonb */
	bool		no_payload;
	Datum		text;			/* the payload as text */
	Datum		channel;
	Datum		composite;		/* aside.event */
} Event;

static Handler handler;
static SPIPlanPtr read_plans[ASIDE_PARTITIONS];
static SPIPlanPtr log_plans[ASIDE_PARTITIONS];
static SPIPlanPtr free_key_plan = NULL;

static SPIPlanPtr
prepare(const char *query, int nargs, Oid *types)
{
	SPIPlanPtr	plan = SPI_prepare(query, nargs, types);

	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", query, SPI_result_code_string(SPI_result));
	return plan;
}

static SPIPlanPtr
prepare_kept(const char *query, int nargs, Oid *types)
{
	SPIPlanPtr	plan = prepare(query, nargs, types);

	(void) SPI_keepplan(plan);
	return plan;
}

static void
check_code(int code)
{
	if (code == SPI_ERROR_TRANSACTION)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("cannot begin or end transactions in the handler of an event")));
	if (code == SPI_ERROR_COPY)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot COPY to or from a client in the handler of an event")));
	if (code < 0)
		elog(ERROR, "could not run a handler of events: %s", SPI_result_code_string(code));
}

static void
execute(SPIPlanPtr plan, Datum *values, const char *nulls)
{
	check_code(SPI_execute_plan(plan, values, nulls, false, 0));
}

/*
 * By what is committed now: a transaction that sees what there was when it
 * began would miss rows of a table that has been written anew since.
 */
static void
execute_as_of_now(SPIPlanPtr plan, Datum *values)
{
	if (IsolationUsesXactSnapshot())
		check_code(SPI_execute_snapshot(plan, values, NULL, GetLatestSnapshot(), InvalidSnapshot, false, true, 0));
	else
		execute(plan, values, NULL);
}

/*
 * A kept plan that finds rows by where they are: one that was made while the
 * table was small must not scan it when it is large, whenever it is made anew.
 */
static void
execute_without_scans(SPIPlanPtr *plan, const char *query, int nargs, Oid *types, Datum *values)
{
	bool		seqscan = enable_seqscan;
	bool		tidscan = enable_tidscan;
	bool		indexscan = enable_indexscan;

	enable_seqscan = false;
	enable_tidscan = enable_indexscan = true;
	PG_TRY();
	{
		if (*plan == NULL)
			*plan = prepare_kept(query, nargs, types);
		execute_as_of_now(*plan, values);
	}
	PG_FINALLY();
	{
		enable_seqscan = seqscan;
		enable_tidscan = tidscan;
		enable_indexscan = indexscan;
	}
	PG_END_TRY();
}

static Oid
oid_at(SPITupleTable *table, int column)
{
	bool		null;
	Datum		value = SPI_getbinval(table->vals[0], table->tupdesc, column, &null);

	return null ? InvalidOid : DatumGetObjectId(value);
}

/*
 * As the tables' owner. False: it is paused, gone, or another one than the
 * coordinator knows, which has been told, and asks again.  What was said of
 * handlers before this is known here.
 */
static bool
load_handler(const AsideHandlerName *name)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(name->id)};
	uint32		changes = aside_handler_changes();
	SPITupleTable *found;
	bool		null;

	if (aside_hold_tables() != name->tables)
		return false;
	if (handler.text != NULL && memcmp(&handler.name, name, sizeof(*name)) == 0 && handler.changes == changes)
		return true;
	execute_without_scans(&plan, "SELECT form, coalesce(handler, command), name, version, paused, function, function_owner FROM aside.event_handler "
						  "WHERE id OPERATOR(pg_catalog.=) $1", 1, types, values);
	found = SPI_tuptable;
	if (SPI_processed != 1 || DatumGetInt32(SPI_getbinval(found->vals[0], found->tupdesc, 4, &null)) != name->version ||
		DatumGetBool(SPI_getbinval(found->vals[0], found->tupdesc, 5, &null)))
		return false;
	if (handler.text != NULL && memcmp(&handler.name, name, sizeof(*name)) == 0)
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
	handler.several = handler.form == 'c' && list_length(pg_parse_query(handler.text)) > 1;
	handler.called = MemoryContextStrdup(TopMemoryContext, SPI_getvalue(found->vals[0], found->tupdesc, 3));
	handler.name = *name;
	handler.changes = changes;
	return true;
}

/* Since the coordinator asked, it may have been handed on, or its owner have lost his rights: it will ask again. */
static bool
may_run(Oid owner)
{
	AsideDefinition definition = {.kind = "handler", .id = handler.name.id, .name = handler.called};

	return aside_definition_owner(&definition) == owner && aside_definition_obstacle(owner) == NULL;
}

/* What call_handler() passes to a handler of this form, by the types that the server knows, whatever bears their names. */
static Oid
argument_type(void)
{
	switch (handler.form)
	{
		case 'e':
			return aside_event_type();
		case 'a':
			return get_array_type(aside_event_type());
		case 'j':
			return JSONBOID;
		default:
			return TEXTOID;
	}
}

/* The handler's function; 42883 if it has gone. Its signature was written with this search_path. */
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
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function \"%s\" does not exist", handler.text)));
	return function;
}

/*
 * Whoever owns the schema can put another function in its place, which would
 * run as the handler's owner: it is to be of an owner who could have made
 * the handler do what he likes anyway.  Its own owner may have handed it on.
 */
static void
check_function(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	if (function != handler.function && owner != handler.function_owner && owner != GetUserId() && !superuser_arg(owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("function \"%s\" is another one than when the event handler was defined", handler.text),
				 errdetail("It belongs to role \"%s\".", GetUserNameFromId(owner, true)),
				 errhint("If it is what the handler is to call, define the handler anew.")));
}

static SPIPlanPtr
prepare_handler(Oid *types)
{
	Oid			argument;
	Oid			function;

	if (handler.form == 'c')
		return prepare(handler.text, 2, types);
	function = find_function();
	check_function(function);
	argument = argument_type();
	return prepare(psprintf("SELECT %s(%s$1)",
							quote_qualified_identifier(get_namespace_name(get_func_namespace(function)),
													   get_func_name(function)),
							OidIsValid(get_func_variadictype(function)) ? "VARIADIC " : ""),
				   1, &argument);
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

/* As the handler's owner: what it would do if it were new, by a plan that is kept where that does the same. */
static void
execute_handler(bool notified, Datum *values, const char *nulls)
{
	KeptPlan   *kept = &handler.plans[notified ? 1 : 0];
	Oid			types[2] = {notified ? TEXTOID : JSONBOID, TEXTOID};
	uint64_t	changes;
	SPIPlanPtr	plan;

	/* Each is analyzed when the one before has run. */
	if (handler.several)
	{
		log_several();
		check_code(SPI_execute_with_args(handler.text, 2, types, values, nulls, false, 0));
		return;
	}
	if (kept->plan != NULL && still_holds(kept))
	{
		log_handler(kept->plan);
		execute(kept->plan, values, nulls);
		return;
	}
	if (kept->plan != NULL)
		SPI_freeplan(kept->plan);
	kept->plan = NULL;
	changes = aside_catalog_changes();
	plan = prepare_handler(types);
	if (is_lasting(plan) && changes == aside_catalog_changes())
	{
		(void) SPI_keepplan(plan);
		kept->plan = plan;
		kept->changes = changes;
		kept->settings = aside_settings_version();
	}
	log_handler(plan);
	execute(plan, values, nulls);
}

static Datum
make_composite(const Event *event, Datum key, bool no_key, Datum headers, bool no_headers, int attempt,
			   Datum emitted, Datum emitted_by, bool no_emitter, int priority)
{
	TupleDesc	desc = lookup_rowtype_tupdesc(aside_event_type(), -1);
	Datum		values[] = {
		Int64GetDatum(event->id), event->channel, event->payload, key, headers, Int32GetDatum(attempt),
		emitted, emitted_by, Int32GetDatum(priority)
	};
	bool		nulls[] = {
		event->id == 0, false, event->no_payload, no_key, no_headers, false, false, no_emitter, false
	};
	HeapTuple	tuple = heap_form_tuple(desc, values, nulls);

	ReleaseTupleDesc(desc);
	return HeapTupleGetDatum(tuple);
}

/* A row of the query below. */
static void
read_event(HeapTuple row, TupleDesc desc, int attempt, Event *event)
{
	bool		null[12];
	Datum		value[12];

	for (int i = 0; i < lengthof(value); i++)
		value[i] = SPI_getbinval(row, desc, i + 1, &null[i]);
	event->id = DatumGetInt64(value[0]);
	event->channel = value[1];
	event->payload = value[2];
	event->no_payload = null[2];
	event->text = null[3] ? (Datum) 0 : value[3];
	event->unique = !null[9];
	event->notified = !null[10];
	aside_event_depth = Max(aside_event_depth, DatumGetInt32(value[11]));
	event->composite = make_composite(event, value[4], null[4], value[5], null[5], attempt, value[6],
									  value[7], null[7], DatumGetInt32(value[8]));
}

#define READ_EVENTS(n) \
	"SELECT id, channel, payload, payload OPERATOR(pg_catalog.#>>) '{}', key, headers, emitted, " \
	"pg_catalog.pg_get_userbyid(emitted_by), priority, unique_key, command, depth " \
	"FROM aside.event_" n " WHERE ctid OPERATOR(pg_catalog.=) ANY ($1) " \
	"AND (command IS NULL OR command OPERATOR(pg_catalog.<>) 'moved') ORDER BY id"

static int
compare_ids(const void *a, const void *b)
{
	int64		left = *(const int64 *) a;
	int64		right = *(const int64 *) b;

	return left < right ? -1 : left > right;
}

/* Are these rows, by their ids, the events of the batch?  Whoever writes the table anew moves its rows. */
static bool
are_meant(const Batch *batch)
{
	const int64 *meant = (const int64 *) ((const uint64 *) (batch + 1) + batch->count);
	int64	   *ids;
	bool		null;

	if (SPI_processed != batch->count)
		return false;
	ids = palloc(sizeof(int64) * batch->count);
	memcpy(ids, meant, sizeof(int64) * batch->count);
	qsort(ids, batch->count, sizeof(int64), compare_ids);
	for (uint32 i = 0; i < batch->count; i++)
		if (ids[i] != DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &null)))
			return false;
	pfree(ids);
	return true;
}

/* NULL: they are not there. */
static Event *
read_events(const Batch *batch)
{
	static const char *const queries[ASIDE_PARTITIONS] = {READ_EVENTS("0"), READ_EVENTS("1"), READ_EVENTS("2")};
	const uint64 *tids = (const uint64 *) (batch + 1);
	ItemPointer pointers = palloc(sizeof(ItemPointerData) * batch->count);
	Datum	   *elements = palloc(sizeof(Datum) * batch->count);
	Event	   *events = palloc0(sizeof(Event) * batch->count);
	Oid			types[1] = {TIDARRAYOID};
	Datum		values[1];

	for (uint32 i = 0; i < batch->count; i++)
	{
		ItemPointerSet(&pointers[i], tids[i] >> 16, tids[i] & 0xffff);
		elements[i] = PointerGetDatum(&pointers[i]);
	}
	values[0] = PointerGetDatum(construct_array(elements, batch->count, TIDOID, sizeof(ItemPointerData),
												false, TYPALIGN_SHORT));
	execute_without_scans(&read_plans[batch->partition], queries[batch->partition], 1, types, values);
	if (!are_meant(batch))
		return NULL;
	for (uint32 i = 0; i < batch->count; i++)
		read_event(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, batch->attempt, &events[i]);
	return events;
}

static Datum
json_string(const char *text, int len)
{
	JsonbValue	value = {.type = jbvString};

	value.val.string.val = unconstify(char *, text);
	value.val.string.len = len;
	return JsonbPGetDatum(JsonbValueToJsonb(&value));
}

/* As of those that are recorded. */
static Datum
sender_headers(uint32 pid)
{
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(psprintf("{\"pid\": %u}", pid)));
}

static Event *
read_notifications(const Batch *batch)
{
	Event	   *events = palloc0(sizeof(Event) * batch->count);
	const char *at = (const char *) (batch + 1);

	for (uint32 i = 0; i < batch->count; i++)
	{
		const NoteHead *head = (const NoteHead *) at;
		const char *channel = at + sizeof(NoteHead);
		const char *payload = channel + TYPEALIGN(8, head->channel_len);

		at = payload + TYPEALIGN(8, head->payload_len);
		events[i].notified = true;
		events[i].channel = PointerGetDatum(cstring_to_text_with_len(channel, head->channel_len));
		events[i].text = PointerGetDatum(cstring_to_text_with_len(payload, head->payload_len));
		events[i].payload = json_string(payload, head->payload_len);
		events[i].composite = make_composite(&events[i], (Datum) 0, true, sender_headers(head->pid), false, batch->attempt,
											 TimestampTzGetDatum(GetCurrentTimestamp()), (Datum) 0, true, 0);
	}
	return events;
}

/* A function that is not called for NULL would not have handled the event. */
static void
check_strict(void)
{
	if (func_strict(find_function()))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("function \"%s\" is STRICT, and the event has no payload", handler.text),
				 errhint("Declare it as CALLED ON NULL INPUT.")));
}

/* Call the handler for one event. */
static void
call_handler(const Event *event)
{
	Datum		values[2] = {event->composite, event->channel};
	char		nulls[3] = "  ";

	switch (handler.form)
	{
		case 'j':
			values[0] = event->payload;
			nulls[0] = event->no_payload ? 'n' : ' ';
			/* What a NOTIFY said is text, and here meant to be JSON. */
			if (event->notified)
				values[0] = DirectFunctionCall1(jsonb_in,
												CStringGetDatum(TextDatumGetCString(event->text)));
			break;
		case 't':
			values[0] = event->text;
			nulls[0] = event->text == (Datum) 0 ? 'n' : ' ';
			break;
		case 'c':
			values[0] = event->notified ? event->text : event->payload;
			nulls[0] = values[0] == (Datum) 0 || (!event->notified && event->no_payload) ? 'n' : ' ';
			break;
		default:
			break;
	}
	if (handler.form != 'c' && nulls[0] == 'n')
		check_strict();
	execute_handler(event->notified, values, nulls);
}

static void
call_with_array(const Event *events, uint32 count)
{
	Datum	   *elements = palloc(sizeof(Datum) * count);
	Datum		values[1];

	for (uint32 i = 0; i < count; i++)
		elements[i] = events[i].composite;
	values[0] = PointerGetDatum(construct_array(elements, count, aside_event_type(), -1, false,
												TYPALIGN_DOUBLE));
	execute_handler(events[0].notified, values, NULL);
}

/* As the tables' owner. */
static void
free_keys(Datum *ids, int count)
{
	Oid			types[1] = {INT8ARRAYOID};
	Datum		values[1] = {
		PointerGetDatum(construct_array(ids, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE))
	};

	/* Before the snapshot. */
	LockRelationOid(aside_event_tables().unique_keys, RowExclusiveLock);
	execute_without_scans(&free_key_plan, "DELETE FROM aside.event_unique WHERE event OPERATOR(pg_catalog.=) ANY ($1)", 1,
						  types, values);
}

/* As the tables' owner: the batch is done when this commits, and its unique keys are free. */
static void
acknowledge(const Batch *batch, const Event *events)
{
	Oid			types[3] = {INT8OID, INT8ARRAYOID, INT4OID};
	Datum	   *ids = palloc(sizeof(Datum) * batch->count);
	Datum	   *unique = palloc(sizeof(Datum) * batch->count);
	Datum		values[3];
	int			count = 0;

	for (uint32 i = 0; i < batch->count; i++)
	{
		ids[i] = Int64GetDatum(events[i].id);
		if (events[i].unique)
			unique[count++] = ids[i];
	}
	values[0] = Int64GetDatum(handler.name.id);
	values[1] = PointerGetDatum(construct_array(ids, batch->count, INT8OID, sizeof(int64),
												FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[2] = Int32GetDatum(batch->attempt);
	if (log_plans[batch->partition] == NULL)
		log_plans[batch->partition] =
			prepare_kept(psprintf("INSERT INTO aside.event_log_%u (handler, kind, events, attempt) "
								  "VALUES ($1, 'd', $2, $3)", batch->partition), 3, types);
	execute(log_plans[batch->partition], values, NULL);
	if (count > 0)
		free_keys(unique, count);
}

static aside_ran
run(const AsideHandlerName *name, const Batch *batch)
{
	Oid			owner;
	int			context;
	Event	   *events;

	if (batch->partition >= ASIDE_PARTITIONS || batch->count == 0)
		elog(ERROR, "batch of events makes no sense");
	GetUserIdAndSecContext(&owner, &context);
	aside_event_depth = 0;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	SetUserIdAndSecContext(aside_events_owner(), context | SECURITY_LOCAL_USERID_CHANGE);
	if (!load_handler(name) || !may_run(owner))
	{
		SetUserIdAndSecContext(owner, context);
		SPI_finish();
		return ASIDE_UNWANTED;
	}
	events = batch->kind == 1 ? read_notifications(batch) : read_events(batch);
	SetUserIdAndSecContext(owner, context);
	if (events == NULL)
	{
		SPI_finish();
		return ASIDE_MISPLACED;
	}
	if (handler.form == 'a')
		call_with_array(events, batch->count);
	else
		for (uint32 i = 0; i < batch->count; i++)
			call_handler(&events[i]);
	SetUserIdAndSecContext(aside_events_owner(), context | SECURITY_LOCAL_USERID_CHANGE);
	if (batch->kind == 0)
		acknowledge(batch, events);
	SetUserIdAndSecContext(owner, context);
	SPI_finish();
	return ASIDE_RAN;
}

aside_status
aside_host_run_events(aside_bytes name, aside_bytes batch, aside_ran *ran)
{
	aside_status status = ASIDE_OK;

	aside_handler_runs = true;
	ASIDE_TRY(status);
	{
		MemoryContext old = MemoryContextSwitchTo(aside_request_context);
		AsideHandlerName copy;

		if (name.len != sizeof(copy) || batch.len < sizeof(Batch))
			elog(ERROR, "request of events makes no sense");
		memcpy(&copy, name.data, sizeof(copy));
		/* Whatever default_transaction_read_only says: the acknowledgement is written. */
		if (XactReadOnly)
			(void) set_config_option("transaction_read_only", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
		PushActiveSnapshot(GetTransactionSnapshot());
		*ran = run(&copy, (const Batch *) batch.data);
		PopActiveSnapshot();
		MemoryContextSwitchTo(old);
	}
	ASIDE_END_TRY();
	return status;
}
