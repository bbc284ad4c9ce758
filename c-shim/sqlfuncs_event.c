/*
 * sqlfuncs_event.c
 *	  The SQL functions of events.
 *
 * Emitting is done here, for it is to cost little more than an INSERT.  All
 * else is done by functions of the extension that nobody else may call: the
 * one that users call forwards to them, as the tables' owner, and says who
 * asks.
 */
#include "event.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

PG_FUNCTION_INFO_V1(aside_async_event_emit);
PG_FUNCTION_INFO_V1(aside_event_forward);
PG_FUNCTION_INFO_V1(aside_want_events);
PG_FUNCTION_INFO_V1(aside_events_ready);

/* What this transaction is to say when it commits. */
static bool emitted = false;
static bool handlers_changed = false;
static bool extension_made = false;
static bool databases_changed = false;

/* Known until something of the catalog changes. */
static Oid	events_owner = InvalidOid;
static Oid	event_type = InvalidOid;
static Oid	sequence = InvalidOid;
static bool watching = false;

static void
forget_catalog(Datum arg, int cache, uint32 hash)
{
	events_owner = InvalidOid;
	event_type = InvalidOid;
	sequence = InvalidOid;
}

static void
transaction_ends(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT)
	{
		if (emitted)
			aside_say_events();
		if (handlers_changed)
			aside_say_handlers();
		if (extension_made)
			aside_want_coordinator();
		if (databases_changed)
			aside_look_for_databases();
	}
	/* Of what is prepared, COMMIT PREPARED tells (hooks.c). */
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
	{
		emitted = handlers_changed = extension_made = databases_changed = false;
		aside_event_depth = 0;
	}
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
}

static void
look_up(void)
{
	Oid			schema = get_namespace_oid("aside", false);
	Oid			table = get_relname_relid("event_handler", schema);
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));

	watch();
	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the tables of pg_aside are missing")));
	events_owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	event_type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("event"), ObjectIdGetDatum(schema));
	sequence = get_relname_relid("event_id", schema);
}

/*
 * Whom to act as: the owner of the tables that are here until the transaction
 * ends.  Whoever makes others of their names once they have been dropped acts
 * as himself.
 */
Oid
aside_events_owner(void)
{
	(void) aside_hold_tables();
	if (!OidIsValid(events_owner))
		look_up();
	return events_owner;
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

static void
check_ready(void)
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

/* The partition that new events go to, also before a coordinator has come. */
static int
current_partition(void)
{
	int			partition = aside_current_partition();
	bool		null;

	if (partition >= 0)
		return partition;
	if (SPI_execute("SELECT partition FROM aside.event_control", true, 1) == SPI_OK_SELECT && SPI_processed == 1)
		partition = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null));
	return Max(partition, 0);
}

static void
refuse(int sqlstate, const char *message)
{
	ereport(ERROR, (errcode(sqlstate), errmsg("%s", message)));
}

/* One of these arguments is not NULL. */
static TimestampTz
due_at(FunctionCallInfo fcinfo, TimestampTz now, bool *none)
{
	bool		delay = !PG_ARGISNULL(3);
	bool		at = !PG_ARGISNULL(4);

	*none = !delay && !at;
	if (delay && at)
		refuse(ERRCODE_INVALID_PARAMETER_VALUE, "an event can have a delay or a time, not both");
	if (delay)
		return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(now),
													   PG_GETARG_DATUM(3)));
	return at ? PG_GETARG_TIMESTAMPTZ(4) : now;
}

enum
{
	INSERT_COLUMNS = 12
};

static void
insert_event(int partition, Datum *values, const char *nulls)
{
	static SPIPlanPtr plans[ASIDE_PARTITIONS];
	Oid			types[INSERT_COLUMNS] = {
		INT8OID, XID8OID, TEXTOID, JSONBOID, TEXTOID, INT4OID, TIMESTAMPTZOID, TEXTOID, JSONBOID,
		TIMESTAMPTZOID, OIDOID, INT4OID
	};

	if (plans[partition] == NULL)
	{
		plans[partition] =
			SPI_prepare(psprintf("INSERT INTO aside.event_%d (id, txid, channel, payload, key, priority, run_at, unique_key, "
								 "headers, emitted, emitted_by, depth) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
								 partition), INSERT_COLUMNS, types);
		if (plans[partition] == NULL || SPI_keepplan(plans[partition]) != 0)
			elog(ERROR, "could not prepare an event: %s", SPI_result_code_string(SPI_result));
	}
	if (SPI_execute_plan(plans[partition], values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not emit an event");
}

/* The event that has the unique key now: this one, or another one that stands; 0: this one. */
static int64
claim_key(Datum channel, Datum unique_key, int64 id, const char *conflict, Oid user)
{
	Oid			types[5] = {TEXTOID, TEXTOID, INT8OID, TEXTOID, OIDOID};
	Datum		values[5] = {
		channel, unique_key, Int64GetDatum(id), CStringGetTextDatum(conflict), ObjectIdGetDatum(user)
	};
	bool		null;

	if (SPI_execute_with_args("SELECT aside.event_claim_key($1, $2, $3, $4, $5)", 5, types, values, NULL,
							  false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not claim the unique key of an event");
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null));
}

/*
 * async_event_emit(channel text, payload jsonb, key text, delay interval, run_at timestamptz, priority int,
 * unique_key text, on_conflict text, headers jsonb) returns bigint
 */
Datum
aside_async_event_emit(PG_FUNCTION_ARGS)
{
	TimestampTz now = GetCurrentTimestamp();
	const char *conflict = PG_ARGISNULL(7) ? "reject" : text_to_cstring(PG_GETARG_TEXT_PP(7));
	Datum		values[INSERT_COLUMNS];
	char		nulls[INSERT_COLUMNS + 1] = "            ";
	bool		at_once;
	Oid			user;
	int			context;
	int			partition;
	int64		id;

	check_ready();
	if (PG_ARGISNULL(0) || VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(0)) == 0)
		refuse(ERRCODE_NULL_VALUE_NOT_ALLOWED, "channel of an event must not be null or empty");
	if (strcmp(conflict, "reject") != 0 && strcmp(conflict, "keep") != 0 && strcmp(conflict, "replace") != 0)
		refuse(ERRCODE_INVALID_PARAMETER_VALUE, "on_conflict must be \"reject\", \"keep\" or \"replace\"");
	if (aside_event_depth >= aside_max_event_depth)
		ereport(ERROR,
				(errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
				 errmsg("events emitted by handlers of events are nested too deeply"),
				 errhint("Consider increasing \"aside.max_event_depth\", after ensuring that this ends.")));
	watch();
	GetUserIdAndSecContext(&user, &context);
	values[6] = TimestampTzGetDatum(due_at(fcinfo, now, &at_once));
	SetUserIdAndSecContext(aside_events_owner(), context | SECURITY_LOCAL_USERID_CHANGE);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	partition = current_partition();
	id = nextval_internal(sequence, false);
	if (!PG_ARGISNULL(6))
	{
		int64		other = claim_key(PG_GETARG_DATUM(0), PG_GETARG_DATUM(6), id, conflict, user);

		if (other != 0)
		{
			SPI_finish();
			SetUserIdAndSecContext(user, context);
			PG_RETURN_INT64(other);
		}
	}
	values[0] = Int64GetDatum(id);
	values[1] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	values[2] = PG_GETARG_DATUM(0);
	values[3] = PG_GETARG_DATUM(1);
	values[4] = PG_GETARG_DATUM(2);
	values[5] = PG_ARGISNULL(5) ? Int32GetDatum(0) : PG_GETARG_DATUM(5);
	values[7] = PG_GETARG_DATUM(6);
	values[8] = PG_GETARG_DATUM(8);
	values[9] = TimestampTzGetDatum(now);
	values[10] = ObjectIdGetDatum(user);
	values[11] = Int32GetDatum(aside_event_depth + 1);
	nulls[3] = PG_ARGISNULL(1) ? 'n' : ' ';
	nulls[4] = PG_ARGISNULL(2) ? 'n' : ' ';
	nulls[6] = at_once ? 'n' : ' ';
	nulls[7] = PG_ARGISNULL(6) ? 'n' : ' ';
	nulls[8] = PG_ARGISNULL(8) ? 'n' : ' ';
	insert_event(partition, values, nulls);
	SPI_finish();
	SetUserIdAndSecContext(user, context);
	emitted = true;
	PG_RETURN_INT64(id);
}

/*
 * Call the function of the same name in schema aside, as the tables' owner,
 * with the caller's role in front of this one's arguments.
 */
Datum
aside_event_forward(PG_FUNCTION_ARGS)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(fcinfo->flinfo->fn_oid));
	Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(tuple);
	int			count = PG_NARGS() + 1;
	Oid		   *types = palloc(sizeof(Oid) * count);
	Datum	   *values = palloc(sizeof(Datum) * count);
	char	   *nulls = palloc(count + 1);
	StringInfoData query;
	Oid			user;
	int			context;
	Datum		result;
	int16		len;
	bool		byval;
	bool		null;

	check_ready();
	watch();
	GetUserIdAndSecContext(&user, &context);
	initStringInfo(&query);
	appendStringInfo(&query, "SELECT aside.%s(", NameStr(proc->proname));
	for (int i = 0; i < count; i++)
	{
		types[i] = i == 0 ? OIDOID : proc->proargtypes.values[i - 1];
		values[i] = i == 0 ? ObjectIdGetDatum(user) : PG_GETARG_DATUM(i - 1);
		nulls[i] = i > 0 && PG_ARGISNULL(i - 1) ? 'n' : ' ';
		appendStringInfo(&query, "%s$%d", i == 0 ? "" : ", ", i + 1);
	}
	appendStringInfoChar(&query, ')');
	get_typlenbyval(proc->prorettype, &len, &byval);
	ReleaseSysCache(tuple);
	SetUserIdAndSecContext(aside_events_owner(), context | SECURITY_LOCAL_USERID_CHANGE);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (SPI_execute_with_args(query.data, count, types, values, nulls, false, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not run \"%s\"", query.data);
	result = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null);
	if (!null && !byval)
		result = SPI_datumTransfer(result, byval, len);
	SPI_finish();
	SetUserIdAndSecContext(user, context);
	emitted = true;
	handlers_changed = true;
	if (null)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
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
