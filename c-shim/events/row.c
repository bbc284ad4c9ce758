/*
 * events/row.c
 *	  Writes a row into a table of events.
 */
#include "events/row.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#define ASIDE_EVENT_TYPE(name, sql, type) type,

/* If somebody has changed the table, raise an error, so that no row of another shape gets into it. */
static void
check_shape(Relation relation)
{
	static const Oid types[EVENT_COLUMNS] = {
		ASIDE_EVENT_ID(ASIDE_EVENT_TYPE)
		ASIDE_EVENT_TXID(ASIDE_EVENT_TYPE)
		ASIDE_EVENT_CONTENT(ASIDE_EVENT_TYPE)
	};
	TupleDesc	desc = RelationGetDescr(relation);
	bool		same = desc->natts == EVENT_COLUMNS && relation->rd_rel->relkind == RELKIND_RELATION;

	for (int i = 0; same && i < EVENT_COLUMNS; i++)
		same = TupleDescAttr(desc, i)->atttypid == types[i];
	if (!same)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not as pg_aside has made it", RelationGetRelationName(relation)),
				 errhint("Undo what has changed it, or drop extension \"pg_aside\" and create it again.")));
}

/*
 * Insert into an index of plain columns, as the extension has made it.
 * BuildIndexInfo() finds out more, and costs as much as the insertion.
 */
static void
insert_into_index(Relation relation, Oid index_oid, TupleTableSlot *slot)
{
	Relation	index = index_open(index_oid, RowExclusiveLock);
	Form_pg_index form = index->rd_index;
	IndexInfo	info = {.type = T_IndexInfo, .ii_NumIndexAttrs = form->indnatts, .ii_NumIndexKeyAttrs = form->indnkeyatts};
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];

	/* The index is being built, or its building has failed. */
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
				 errmsg("index \"%s\" is not as pg_aside has made it", RelationGetRelationName(index)),
				 errhint("Undo what has changed it, or drop extension \"pg_aside\" and create it again.")));
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
 * Insert as the server inserts into its catalogs, without an executor. Only
 * pg_aside may write to these tables; their triggers see to that, and fire
 * for replicas only.
 */
void
aside_insert_event(Oid table, const AsideEventRow *row)
{
	Relation	relation = table_open(table, RowExclusiveLock);
	TupleTableSlot *slot;
	List	   *indexes;
	ListCell   *cell;

	check_shape(relation);
	slot = table_slot_create(relation, NULL);
	memcpy(slot->tts_values, row->values, sizeof(Datum) * EVENT_COLUMNS);
	memcpy(slot->tts_isnull, row->nulls, sizeof(bool) * EVENT_COLUMNS);
	ExecStoreVirtualTuple(slot);
	table_tuple_insert(relation, slot, GetCurrentCommandId(true), 0, NULL);
	indexes = RelationGetIndexList(relation);
	foreach(cell, indexes)
		insert_into_index(relation, lfirst_oid(cell), slot);
	list_free(indexes);
	ExecDropSingleTupleTableSlot(slot);
	table_close(relation, NoLock);
}

/*
 * Begin an event that this transaction emits now. Columns that are not set
 * afterwards are NULL or have their defaults.
 */
void
aside_start_event(AsideEventRow *row, int64 id, Datum channel)
{
	memset(row->values, 0, sizeof(row->values));
	memset(row->nulls, true, sizeof(row->nulls));
	aside_set_event(row, EVENT_ID, Int64GetDatum(id));
	aside_set_event(row, EVENT_TXID, FullTransactionIdGetDatum(GetTopFullTransactionId()));
	aside_set_event(row, EVENT_CHANNEL, channel);
	aside_set_event(row, EVENT_PRIORITY, Int32GetDatum(0));
	aside_set_event(row, EVENT_EMITTED, TimestampTzGetDatum(GetCurrentTimestamp()));
	aside_set_event(row, EVENT_EMITTED_BY, ObjectIdGetDatum(InvalidOid));
	aside_set_event(row, EVENT_ATTEMPTS, Int32GetDatum(0));
	aside_set_event(row, EVENT_DEPTH, Int32GetDatum(0));
}

void
aside_set_event(AsideEventRow *row, int column, Datum value)
{
	row->values[column] = value;
	row->nulls[column] = false;
}

/* The payload of a notification as an event. */
Datum
aside_json_string(const char *text, int len)
{
	JsonbValue	value = {.type = jbvString};

	value.val.string.val = unconstify(char *, text);
	value.val.string.len = len;
	return JsonbPGetDatum(JsonbValueToJsonb(&value));
}

/* The headers of a notification as an event: the process that has sent it. */
Datum
aside_sender_headers(uint32 pid)
{
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(psprintf("{\"pid\": %u}", pid)));
}
