/*
 * sql/event.c
 *	  The SQL functions of events, but for emitting (sql/emit.c).
 *
 * They are done by functions of the extension that nobody else may call: the
 * one that users call forwards to them, as the tables' owner, and says who
 * asks.
 */
#include "definitions/definition.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "replication/logicalworker.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

PG_FUNCTION_INFO_V1(aside_event_forward);
PG_FUNCTION_INFO_V1(aside_event_forward_rows);
PG_FUNCTION_INFO_V1(aside_want_events);
PG_FUNCTION_INFO_V1(aside_events_ready);
PG_FUNCTION_INFO_V1(aside_event_handlers_changed);
PG_FUNCTION_INFO_V1(aside_event_replicated);

/* What this transaction is to say when it commits. */
static bool emitted = false;
static bool handlers_changed = false;
static bool extension_made = false;
static bool databases_changed = false;

/* It has committed, and these are said when the others can hear of it. */
static bool committed = false;

/* Known until something of the catalog changes. */
static Oid	events_owner = InvalidOid;
static Oid	event_type = InvalidOid;
static AsideEventTables tables;
static bool watching = false;

static void
forget_catalog(Datum arg, int cache, uint32 hash)
{
	events_owner = InvalidOid;
	event_type = InvalidOid;
	tables.sequence = InvalidOid;
}

static void
transaction_ends(XactEvent event, void *arg)
{
	/* What is rolled back takes room in the tables all the same. */
	if (emitted && (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT))
		aside_say_events();
	committed = event == XACT_EVENT_COMMIT && (handlers_changed || extension_made || databases_changed);
	/* Of what is prepared, COMMIT PREPARED tells (module/hooks.c). */
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
	{
		emitted = false;
		aside_event_depth = 0;
	}
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		handlers_changed = extension_made = databases_changed = false;
}

/*
 * What others have in their caches of the catalogs they are told after the
 * callbacks of a commit.  Whoever were woken before would look there, find
 * nothing new, and sleep.
 */
static void
resources_released(ResourceReleasePhase phase, bool is_commit, bool is_top_level, void *arg)
{
	if (likely(!committed) || phase != RESOURCE_RELEASE_AFTER_LOCKS || !is_top_level)
		return;
	if (handlers_changed)
		aside_say_handlers();
	if (extension_made)
		aside_want_coordinator();
	if (databases_changed)
		aside_look_for_databases();
	committed = handlers_changed = extension_made = databases_changed = false;
}

static void
watch(void)
{
	if (watching)
		return;
	watching = true;
	CacheRegisterSyscacheCallback(RELNAMENSP, forget_catalog, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPENAMENSP, forget_catalog, (Datum) 0);
	RegisterXactCallback(transaction_ends, NULL);
	RegisterResourceReleaseCallback(resources_released, NULL);
}

static void
missing(void)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("the tables of pg_aside are missing")));
}

/* To look something up may be to hear that something else has changed: what is found here is kept at the end. */
static void
look_up(void)
{
	Oid			schema = get_namespace_oid("aside", false);
	Oid			table = get_relname_relid("event_handler", schema);
	Oid			owner;
	Oid			type;
	AsideEventTables found;
	HeapTuple	tuple;

	watch();
	for (int i = 0; i < ASIDE_PARTITIONS; i++)
		found.partitions[i] = get_relname_relid(psprintf("event_%d", i), schema);
	found.unique_keys = get_relname_relid("event_unique", schema);
	found.sequence = get_relname_relid("event_id", schema);
	type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("event"), ObjectIdGetDatum(schema));
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	if (!HeapTupleIsValid(tuple))
		missing();
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	events_owner = owner;
	event_type = type;
	tables = found;
}

/*
 * Whom to act as: the owner of the tables that are here until the transaction
 * ends.  Whoever makes others of their names once they have been dropped acts
 * as himself.
 */
Oid
aside_events_owner(void)
{
	Oid			owner;

	(void) aside_hold_tables();
	if (!OidIsValid(events_owner))
		look_up();
	owner = events_owner;
	aside_check_one_owner(owner);
	return owner;
}

/* Of the tables that are here until the transaction ends. */
AsideEventTables
aside_event_tables(void)
{
	(void) aside_events_owner();
	/* To ask whose they are is to hear what has changed. */
	if (!OidIsValid(tables.sequence))
		look_up();
	for (int i = 0; i < ASIDE_PARTITIONS; i++)
		if (!OidIsValid(tables.partitions[i]))
			missing();
	if (!OidIsValid(tables.sequence) || !OidIsValid(tables.unique_keys))
		missing();
	return tables;
}

Oid
aside_event_type(void)
{
	if (!OidIsValid(event_type))
		look_up();
	return event_type;
}

/* The tables of events, by one of them, which stays until the transaction ends; invalid: there are none. */
Oid
aside_hold_tables(void)
{
	Oid			locked = InvalidOid;

	/* Whoever emits may have no rights in the schema: hence not by RangeVarGetRelid. */
	for (;;)
	{
		Oid			schema = get_namespace_oid("aside", true);
		Oid			table = OidIsValid(schema) ? get_relname_relid("event_handler", schema) : InvalidOid;

		if (table == locked)
			return table;
		if (OidIsValid(locked))
			UnlockRelationOid(locked, AccessShareLock);
		/* What others have committed meanwhile is known after this. */
		if (OidIsValid(table))
			LockRelationOid(table, AccessShareLock);
		locked = table;
	}
}

/* The transaction has emitted something: it will say so. */
void
aside_note_emitted(void)
{
	watch();
	emitted = true;
}

void
aside_check_events_ready(void)
{
	if (InSecurityRestrictedOperation())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot use events within a security-restricted operation")));
	if (!aside_has_launcher())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("events need pg_aside to be preloaded"),
				 errhint("Add \"pg_aside\" to \"shared_preload_libraries\" and restart the server.")));
}

/*
 * Call the function of the same name in schema aside, as the tables' owner,
 * with the caller's role in front of this one's arguments.  What it returns is
 * in SPI's tuple table, until SPI_finish().
 */
static void
forward(FunctionCallInfo fcinfo, const char *what, bool read_only)
{
	Form_pg_proc proc;
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(fcinfo->flinfo->fn_oid));
	int			count = PG_NARGS() + 1;
	Oid		   *types = palloc(sizeof(Oid) * count);
	Datum	   *values = palloc(sizeof(Datum) * count);
	char	   *nulls = palloc(count + 1);
	StringInfoData query;
	Oid			user;
	int			context;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", fcinfo->flinfo->fn_oid);
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	aside_check_events_ready();
	aside_check_tables_owner();
	if (!read_only)
		PreventCommandIfReadOnly(psprintf("%s()", NameStr(proc->proname)));
	watch();
	GetUserIdAndSecContext(&user, &context);
	initStringInfo(&query);
	appendStringInfo(&query, "SELECT %s aside.%s(", what, NameStr(proc->proname));
	for (int i = 0; i < count; i++)
	{
		types[i] = i == 0 ? OIDOID : proc->proargtypes.values[i - 1];
		values[i] = i == 0 ? ObjectIdGetDatum(user) : PG_GETARG_DATUM(i - 1);
		nulls[i] = i > 0 && PG_ARGISNULL(i - 1) ? 'n' : ' ';
		appendStringInfo(&query, "%s$%d", i == 0 ? "" : ", ", i + 1);
	}
	appendStringInfoChar(&query, ')');
	ReleaseSysCache(tuple);
	SetUserIdAndSecContext(aside_events_owner(), context | SECURITY_LOCAL_USERID_CHANGE);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (SPI_execute_with_args(query.data, count, types, values, nulls, read_only, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run \"%s\"", query.data);
	SetUserIdAndSecContext(user, context);
}

/* One value; it is told to the coordinator when the transaction commits. */
Datum
aside_event_forward(PG_FUNCTION_ARGS)
{
	int16		len;
	bool		byval;
	bool		null;
	Datum		result;

	forward(fcinfo, "", false);
	if (SPI_processed != 1)
		elog(ERROR, "expected one row");
	get_typlenbyval(TupleDescAttr(SPI_tuptable->tupdesc, 0)->atttypid, &len, &byval);
	result = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null);
	if (!null && !byval)
		result = SPI_datumTransfer(result, byval, len);
	SPI_finish();
	emitted = true;
	handlers_changed = true;
	if (null)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}

/* Rows, of a function that only reads. */
Datum
aside_event_forward_rows(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rows = (ReturnSetInfo *) fcinfo->resultinfo;

	aside_begin_rows(fcinfo);
	forward(fcinfo, "* FROM", true);
	for (uint64 i = 0; i < SPI_processed; i++)
		tuplestore_puttuple(rows->setResult, SPI_tuptable->vals[i]);
	SPI_finish();
	return (Datum) 0;
}

/* The transaction has done something after which handlers may be others, or their tables gone. */
void
aside_note_handlers(void)
{
	watch();
	handlers_changed = true;
}

/* aside.event_handlers_changed(), a trigger of the table of handlers */
Datum
aside_event_handlers_changed(PG_FUNCTION_ARGS)
{
	watch();
	handlers_changed = true;
	return PointerGetDatum(NULL);
}

/*
 * aside.event_replicated(), a trigger of all tables of events, which fires for
 * replicas only: what an apply worker writes to them is another server's and
 * stays out.  What a trigger of a replicated table emits is this server's.
 */
Datum
aside_event_replicated(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"event_replicated\" was not called by a trigger")));
	if (IsLogicalWorker() && DatumGetInt32(OidFunctionCall0(F_PG_TRIGGER_DEPTH)) == 1)
		return PointerGetDatum(NULL);
	return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(data->tg_event) ? data->tg_newtuple : data->tg_trigtuple);
}

/* The transaction has made, renamed or dropped a database. */
void
aside_note_databases(void)
{
	watch();
	databases_changed = true;
}

/* aside.want_events(): by CREATE EXTENSION */
Datum
aside_want_events(PG_FUNCTION_ARGS)
{
	watch();
	extension_made = true;
	PG_RETURN_VOID();
}

/* aside.events_ready(): has the server a launcher? */
Datum
aside_events_ready(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(aside_has_launcher());
}
