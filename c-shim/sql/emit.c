/*
 * sql/emit.c
 *	  async_event_emit(): it is to cost little more than an INSERT.
 */
#include "coordinator/coordinator.h"
#include "definitions/definition.h"
#include "events/events.h"
#include "module/module.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

PG_FUNCTION_INFO_V1(aside_async_event_emit);

#define MAX_UNIQUE_KEY 2000

/* Where no coordinator has said yet which partition new events go to. */
static int
read_partition(void)
{
	int			partition = 0;
	bool		null;

	if (SPI_execute("SELECT partition FROM aside.event_control", true, 1) == SPI_OK_SELECT && SPI_processed == 1)
		partition = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null));
	return partition;
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
	TimestampTz due = now;

	*none = !delay && !at;
	if (delay && at)
		refuse(ERRCODE_INVALID_PARAMETER_VALUE, "an event can have a delay or a time, not both");
	if (delay)
		due = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(now),
													  PG_GETARG_DATUM(3)));
	else if (at)
		due = PG_GETARG_TIMESTAMPTZ(4);
	if (TIMESTAMP_IS_NOEND(due))
		refuse(ERRCODE_INVALID_PARAMETER_VALUE, "time of an event must not be infinity");
	return due;
}

/* Longer ones do not fit into their index. */
static void
check_unique_key(Datum channel, Datum unique_key)
{
	Size		len = VARSIZE_ANY_EXHDR(DatumGetTextPP(channel)) + VARSIZE_ANY_EXHDR(DatumGetTextPP(unique_key));

	if (len > MAX_UNIQUE_KEY)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("unique key of an event is too long"),
				 errdetail("With its channel it has %zu bytes; the limit is %d.", len, MAX_UNIQUE_KEY)));
}

/* Columns of the tables of events, in their order. */
enum
{
	ID, TXID, CHANNEL, PAYLOAD, KEY, PRIORITY, RUN_AT, UNIQUE_KEY, HEADERS, EMITTED, EMITTED_BY, TARGET, ATTEMPTS, COMMAND,
	DEPTH, COLUMNS
};

/* Whoever has changed the tables is told, rather than that rows of another shape get into them. */
static void
check_shape(Relation relation)
{
	static const Oid types[COLUMNS] = {
		INT8OID, XID8OID, TEXTOID, JSONBOID, TEXTOID, INT4OID, TIMESTAMPTZOID, TEXTOID, JSONBOID, TIMESTAMPTZOID, OIDOID,
		INT8OID, INT4OID, TEXTOID, INT4OID
	};
	TupleDesc	desc = RelationGetDescr(relation);
	bool		same = desc->natts == COLUMNS && relation->rd_rel->relkind == RELKIND_RELATION;

	for (int i = 0; same && i < COLUMNS; i++)
		same = TupleDescAttr(desc, i)->atttypid == types[i];
	if (!same)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not as pg_aside has made it", RelationGetRelationName(relation))));
}

/* An index of plain columns, as the extension has made them; what BuildIndexInfo() finds out beside costs as much as the insertion. */
static void
insert_into_index(Relation relation, Oid index_oid, TupleTableSlot *slot)
{
	Relation	index = index_open(index_oid, RowExclusiveLock);
	Form_pg_index form = index->rd_index;
	IndexInfo	info = {.type = T_IndexInfo, .ii_NumIndexAttrs = form->indnatts, .ii_NumIndexKeyAttrs = form->indnkeyatts};
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];

	/* One that is being made, or has been given up. */
	if (!form->indisready)
	{
		index_close(index, NoLock);
		return;
	}
	if (index->rd_rel->relam != BTREE_AM_OID || form->indisexclusion ||
		!heap_attisnull(index->rd_indextuple, Anum_pg_index_indexprs, NULL) ||
		!heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index \"%s\" is not as pg_aside has made it", RelationGetRelationName(index))));
	for (int i = 0; i < form->indnatts; i++)
		values[i] = slot_getattr(slot, form->indkey.values[i], &nulls[i]);
	info.ii_Unique = form->indisunique;
	info.ii_ReadyForInserts = true;
	info.ii_Am = BTREE_AM_OID;
	index_insert(index, values, nulls, &slot->tts_tid, relation, form->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false,
				 &info);
	index_close(index, NoLock);
}

/*
 * As the server inserts into its catalogs, without an executor: nobody but
 * pg_aside may write to these tables, whose triggers see to that, and are for replicas.
 */
static void
insert_event(Oid table, const Datum *values, const bool *nulls)
{
	Relation	relation = table_open(table, RowExclusiveLock);
	TupleTableSlot *slot;
	List	   *indexes;
	ListCell   *cell;

	check_shape(relation);
	slot = table_slot_create(relation, NULL);
	memcpy(slot->tts_values, values, sizeof(Datum) * COLUMNS);
	memcpy(slot->tts_isnull, nulls, sizeof(bool) * COLUMNS);
	ExecStoreVirtualTuple(slot);
	table_tuple_insert(relation, slot, GetCurrentCommandId(true), 0, NULL);
	indexes = RelationGetIndexList(relation);
	foreach(cell, indexes)
		insert_into_index(relation, lfirst_oid(cell), slot);
	list_free(indexes);
	ExecDropSingleTupleTableSlot(slot);
	table_close(relation, NoLock);
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

/* What needs queries of the tables: they are run as their owner. Both results are as of the functions above. */
static int64
claim_as_owner(FunctionCallInfo fcinfo, int *partition, int64 id, const char *conflict)
{
	AsideUser	before;
	int64		other = 0;

	before = aside_act_as(aside_events_owner());
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (*partition < 0)
		*partition = read_partition();
	if (!PG_ARGISNULL(6))
		other = claim_key(PG_GETARG_DATUM(0), PG_GETARG_DATUM(6), id, conflict, before.user);
	SPI_finish();
	aside_act_again(before);
	return other;
}

/* Open events of a role, up to so many; this transaction's are among them. */
static int
count_open(Oid role, int most)
{
	Oid			types[2] = {OIDOID, INT4OID};
	Datum		values[2] = {ObjectIdGetDatum(role), Int32GetDatum(most)};
	AsideUser	before;
	int			count;
	bool		null;

	before = aside_act_as(aside_events_owner());
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (SPI_execute_with_args("SELECT aside.event_count_open($1, $2)", 2, types, values, NULL,
							  false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not count the open events of a role");
	count = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null));
	SPI_finish();
	aside_act_again(before);
	return count;
}

/* The tables are looked through only where the quota may be used up. */
static void
check_quota(Oid role)
{
	int			quota = aside_max_events_per_role;

	if (quota == 0 || aside_quota_take(aside_event_registry, MyDatabaseId, role, quota))
		return;
	aside_quota_counted(aside_event_registry, MyDatabaseId, role, count_open(role, quota));
	if (!aside_quota_take(aside_event_registry, MyDatabaseId, role, quota))
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many events of role \"%s\" are still to be handled", GetUserNameFromId(role, false)),
				 errdetail("The limit is %d.", quota),
				 errhint("Consider increasing \"aside.max_events_per_role\".")));
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
	AsideEventTables tables;
	Datum		values[COLUMNS] = {0};
	bool		nulls[COLUMNS] = {false};
	int			partition;
	int64		id;

	aside_check_ready("events");
	PreventCommandIfReadOnly("async_event_emit()");
	if (PG_ARGISNULL(0) || VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(0)) == 0)
		refuse(ERRCODE_NULL_VALUE_NOT_ALLOWED, "channel of an event must not be null or empty");
	if (strcmp(conflict, "reject") != 0 && strcmp(conflict, "keep") != 0 && strcmp(conflict, "replace") != 0)
		refuse(ERRCODE_INVALID_PARAMETER_VALUE, "on_conflict must be \"reject\", \"keep\" or \"replace\"");
	if (aside_event_depth >= aside_max_event_depth)
		ereport(ERROR,
				(errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
				 errmsg("events emitted by handlers of events are nested too deeply"),
				 errhint("Consider increasing \"aside.max_event_depth\", after ensuring that this ends.")));
	if (!PG_ARGISNULL(6))
		check_unique_key(PG_GETARG_DATUM(0), PG_GETARG_DATUM(6));
	values[RUN_AT] = TimestampTzGetDatum(due_at(fcinfo, now, &nulls[RUN_AT]));
	tables = aside_event_tables();
	aside_check_tables_owner(tables.owner);
	partition = aside_current_partition();
	id = aside_next_event_id();
	if (partition < 0 || !PG_ARGISNULL(6))
	{
		int64		other = claim_as_owner(fcinfo, &partition, id, conflict);

		if (other != 0)
			PG_RETURN_INT64(other);
	}
	check_quota(GetUserId());
	values[ID] = Int64GetDatum(id);
	values[TXID] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	values[CHANNEL] = PG_GETARG_DATUM(0);
	values[PAYLOAD] = PG_GETARG_DATUM(1);
	values[KEY] = PG_GETARG_DATUM(2);
	values[PRIORITY] = PG_ARGISNULL(5) ? Int32GetDatum(0) : PG_GETARG_DATUM(5);
	values[UNIQUE_KEY] = PG_GETARG_DATUM(6);
	values[HEADERS] = PG_GETARG_DATUM(8);
	values[EMITTED] = TimestampTzGetDatum(now);
	values[EMITTED_BY] = ObjectIdGetDatum(GetUserId());
	values[DEPTH] = Int32GetDatum(aside_event_depth + 1);
	nulls[PAYLOAD] = PG_ARGISNULL(1);
	nulls[KEY] = PG_ARGISNULL(2);
	nulls[UNIQUE_KEY] = PG_ARGISNULL(6);
	nulls[HEADERS] = PG_ARGISNULL(8);
	nulls[TARGET] = nulls[COMMAND] = true;
	insert_event(tables.partitions[partition], values, nulls);
	aside_note_emitted();
	PG_RETURN_INT64(id);
}
