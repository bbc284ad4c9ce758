/*
 * events/lease.c
 *	  Leases of consumers, in the log of events: what a consumer reads of one,
 *	  and says of it.
 *
 * Whoever writes that events of a lease are acknowledged, given back or taken
 * back holds a lock of the lease until its transaction ends, and has read all
 * such lines that others have committed. So of two who acknowledge an event
 * one is first, and so is either the consumer or the coordinator that takes it
 * back. All is done as the owner of the tables. The search_path is a user's,
 * so each query here names each object and each operator with its schema.
 */
#include "coordinator/coordinator.h"
#include "coordinator/work.h"
#include "events/handler.h"
#include "events/lease.h"
#include "events/row.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/typcache.h"

/* No function of SQL takes advisory locks of this kind. */
#define LEASE_LOCK 0x6c73

/* False: another transaction has it, and is not waited for. */
bool
aside_lock_lease(int64 lease, bool wait)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (lease >> 32), (uint32) lease, LEASE_LOCK);
	return LockAcquire(&tag, ExclusiveLock, false, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

static int
compare_ids(const void *a, const void *b)
{
	int64		left = *(const int64 *) a;
	int64		right = *(const int64 *) b;

	return left < right ? -1 : left > right;
}

/* An array of ids that has no NULLs, sorted. Returns how many there are, each counted once. */
int
aside_distinct_ids(ArrayType *array, int64 *ids)
{
	int			count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	int			kept = 0;

	memcpy(ids, ARR_DATA_PTR(array), sizeof(int64) * count);
	qsort(ids, count, sizeof(int64), compare_ids);
	for (int i = 0; i < count; i++)
		if (kept == 0 || ids[kept - 1] != ids[i])
			ids[kept++] = ids[i];
	return kept;
}

/* What is still leased of a lease, in one partition and of one attempt. */
typedef struct Part
{
	int			partition;
	Datum		attempt;
	Datum		ids;
	int			count;
} Part;

#define LINES(n) \
	"SELECT " n " AS part, kind, events, attempt FROM aside.event_log_" n " WHERE lease OPERATOR(pg_catalog.=) $1 " \
	"AND handler OPERATOR(pg_catalog.=) $3"
#define STILL_LEASED \
	"WITH l AS MATERIALIZED (" LINES("0") " UNION ALL " LINES("1") " UNION ALL " LINES("2") ") " \
	"SELECT a.part, a.attempt, ARRAY(SELECT pg_catalog.unnest(a.events) INTERSECT SELECT pg_catalog.unnest($2) " \
	"EXCEPT SELECT pg_catalog.unnest(o.events) FROM l o WHERE o.kind OPERATOR(pg_catalog.=) ANY (ARRAY[" \
	ASIDE_SQL_DONE ", " ASIDE_SQL_GIVEN_BACK ", " ASIDE_SQL_OVER "]::pg_catalog.\"char\"[])) " \
	"FROM l a WHERE a.kind OPERATOR(pg_catalog.=) " ASIDE_SQL_ATTEMPT "::pg_catalog.\"char\""

void
aside_refuse_lease(int64 event)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("event %lld is not leased to this consumer", (long long) event),
			 errdetail("Its lease ran out, it was acknowledged or given back already, or it was never pulled."),
			 errhint("Roll back what was done for it. If it was not acknowledged, a consumer gets it again.")));
}

static void
refuse_missing(const int64 *ids, int count, const Part *parts, int nparts)
{
	for (int i = 0; i < count; i++)
	{
		bool		found = false;

		for (int part = 0; part < nparts && !found; part++)
			for (int j = 0; j < parts[part].count && !found; j++)
				found = ((int64 *) ARR_DATA_PTR(DatumGetArrayTypeP(parts[part].ids)))[j] == ids[i];
		if (!found)
			aside_refuse_lease(ids[i]);
	}
}

/* Of these events, which must all be of this lease, and must all still be leased. */
static Part *
read_parts(int64 handler, int64 lease, const int64 *ids, int count, int *nparts)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[3] = {INT8OID, INT8ARRAYOID, INT8OID};
	Datum		values[3] = {Int64GetDatum(lease), aside_event_array(ids, count), Int64GetDatum(handler)};
	Part	   *parts;
	int			found = 0;
	bool		null;

	aside_execute_by_place(&plan, STILL_LEASED, 3, types, values);
	*nparts = SPI_processed;
	parts = palloc(sizeof(Part) * Max(*nparts, 1));
	for (int i = 0; i < *nparts; i++)
	{
		parts[i].partition = DatumGetInt32(aside_value_at(i, 1, &null));
		parts[i].attempt = aside_value_at(i, 2, &null);
		parts[i].ids = datumCopy(aside_value_at(i, 3, &null), false, -1);
		parts[i].count = ArrayGetNItems(ARR_NDIM(DatumGetArrayTypeP(parts[i].ids)), ARR_DIMS(DatumGetArrayTypeP(parts[i].ids)));
		found += parts[i].count;
	}
	if (found < count)
		refuse_missing(ids, count, parts, *nparts);
	return parts;
}

static void
write_line(int64 handler, int64 lease, const Part *part, const AsideLeaseWord *word)
{
	static SPIPlanPtr plans[ASIDE_PARTITIONS];
	Oid			types[7] = {INT8OID, CHAROID, INT8ARRAYOID, INT4OID, INT8OID, TEXTOID, TIMESTAMPTZOID};
	Datum		values[7] = {
		Int64GetDatum(handler), CharGetDatum(word->kind), part->ids, part->attempt, Int64GetDatum(lease), word->message,
		TimestampTzGetDatum(word->next_at)
	};
	char		nulls[8] = "       ";

	nulls[5] = word->message == (Datum) 0 ? 'n' : ' ';
	nulls[6] = word->next_at == 0 ? 'n' : ' ';
	if (plans[part->partition] == NULL)
		plans[part->partition] =
			aside_prepare_kept(psprintf("INSERT INTO aside.event_log_%d (handler, kind, events, attempt, lease, message, next_at) "
										"VALUES ($1, $2, $3, $4, $5, $6, $7)", part->partition), 7, types);
	aside_execute_plan(plans[part->partition], values, nulls);
}

static void
free_keys(const int64 *ids, int count)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[1] = {INT8ARRAYOID};
	Datum		values[1] = {aside_event_array(ids, count)};

	/* Before the snapshot. */
	LockRelationOid(aside_event_tables().unique_keys, RowExclusiveLock);
	aside_execute_by_place(&plan, "DELETE FROM aside.event_unique WHERE event OPERATOR(pg_catalog.=) ANY ($1)", 1, types, values);
}

#define END_IN_GROUP(n) \
	"INSERT INTO aside.event_group_" n " (of_group, event, handler, kind) SELECT of_group, id, $2, " ASIDE_SQL_DONE " " \
	"FROM aside.event_" n " WHERE id OPERATOR(pg_catalog.=) ANY ($1) AND of_group IS NOT NULL"

/* Write of those that are of groups that they are done. */
static void
end_in_groups(int64 handler, const Part *part)
{
	static SPIPlanPtr plans[ASIDE_PARTITIONS];
	static const char *const queries[ASIDE_PARTITIONS] = {END_IN_GROUP("0"), END_IN_GROUP("1"), END_IN_GROUP("2")};
	Oid			types[2] = {INT8ARRAYOID, INT8OID};
	Datum		values[2] = {part->ids, Int64GetDatum(handler)};

	aside_execute_by_place(&plans[part->partition], queries[part->partition], 2, types, values);
}

/* The coordinator is told when this commits: it finds this row as it finds events. */
static void
tell_of_lease(int64 lease)
{
	AsideEventTables tables = aside_event_tables();
	int			partition = aside_current_partition();
	const char *number = psprintf(INT64_FORMAT, lease);
	AsideEventRow row;
	bool		null;

	if (partition < 0)
	{
		if (SPI_execute("SELECT partition FROM aside.event_control", true, 1) != SPI_OK_SELECT || SPI_processed != 1)
			elog(ERROR, "partition of events is not known");
		partition = DatumGetInt32(aside_value_at(0, 1, &null));
	}
	(void) GetTopFullTransactionId();
	aside_start_event(&row, aside_next_event_id(), CStringGetTextDatum(""));
	aside_set_event(&row, EVENT_PAYLOAD, aside_json_string(number, strlen(number)));
	aside_set_event(&row, EVENT_COMMAND, CStringGetTextDatum(ASIDE_LEASE_COMMAND));
	aside_insert_event(tables.partitions[partition], &row);
	aside_announce_events();
}

/* Say this of these events, which are all of this lease: distinct ids. When the transaction commits, it is so. */
void
aside_say_of_lease(int64 handler, int64 lease, const int64 *ids, int count, const AsideLeaseWord *word)
{
	Part	   *parts;
	int			nparts;

	(void) aside_lock_lease(lease, true);
	parts = read_parts(handler, lease, ids, count, &nparts);
	for (int i = 0; i < nparts; i++)
	{
		if (parts[i].count == 0)
			continue;
		write_line(handler, lease, &parts[i], word);
		if (word->kind == ASIDE_LETTER_DONE)
			end_in_groups(handler, &parts[i]);
	}
	if (word->kind == ASIDE_LETTER_DONE)
		free_keys(ids, count);
	tell_of_lease(lease);
}

/* An event that was leased, and its place among them. */
typedef struct Leased
{
	int64		id;
	int			at;
	Datum		attempt;
} Leased;

#define ATTEMPTS(n) \
	"SELECT " n " AS part, attempt, events, at, ctid FROM aside.event_log_" n " WHERE lease OPERATOR(pg_catalog.=) $1 " \
	"AND kind OPERATOR(pg_catalog.=) " ASIDE_SQL_ATTEMPT "::pg_catalog.\"char\""
#define EVENTS(n) \
	"SELECT id, channel, payload, key, headers, emitted, CASE WHEN emitted_by OPERATOR(pg_catalog.<>) 0::pg_catalog.oid " \
	"THEN pg_catalog.pg_get_userbyid(emitted_by) END, priority FROM aside.event_" n " WHERE id OPERATOR(pg_catalog.=) ANY ($1) " \
	"AND (command IS NULL OR command OPERATOR(pg_catalog.=) 'notify')"

/* Make a row of what the query above returns. */
static HeapTuple
make_event(TupleDesc desc, int row, Datum attempt)
{
	static const int columns[] = {1, 2, 3, 4, 5, 0, 6, 7, 8};
	Datum		values[lengthof(columns)];
	bool		nulls[lengthof(columns)] = {false};

	for (int i = 0; i < lengthof(columns); i++)
		values[i] = columns[i] == 0 ? attempt : aside_value_at(row, columns[i], &nulls[i]);
	return heap_form_tuple(desc, values, nulls);
}

/* Read the events of one line into their places. Those that somebody has removed are not there. */
static void
read_line(int partition, Datum attempt, ArrayType *events, HeapTuple *rows, TupleDesc desc, MemoryContext into)
{
	static SPIPlanPtr plans[ASIDE_PARTITIONS];
	static const char *const queries[ASIDE_PARTITIONS] = {EVENTS("0"), EVENTS("1"), EVENTS("2")};
	Oid			types[1] = {INT8ARRAYOID};
	Datum		values[1] = {PointerGetDatum(events)};
	int			count = ArrayGetNItems(ARR_NDIM(events), ARR_DIMS(events));
	Leased	   *places = palloc(sizeof(Leased) * Max(count, 1));
	bool		null;

	for (int i = 0; i < count; i++)
		places[i] = (Leased) {.id = ((int64 *) ARR_DATA_PTR(events))[i], .at = i};
	qsort(places, count, sizeof(Leased), compare_ids);
	aside_execute_by_place(&plans[partition], queries[partition], 1, types, values);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		int64		id = DatumGetInt64(aside_value_at(row, 1, &null));
		Leased	   *place = bsearch(&id, places, count, sizeof(Leased), compare_ids);
		MemoryContext old;

		if (place == NULL)
			continue;
		old = MemoryContextSwitchTo(into);
		rows[place->at] = make_event(desc, row, attempt);
		MemoryContextSwitchTo(old);
	}
}

/*
 * The events of a lease that this consumer was given, in their order, and
 * their ids. Where one is not there any more, it is NULL.
 */
HeapTuple *
aside_read_lease(int64 lease, TupleDesc desc, int64 **ids, int *count, MemoryContext into)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(lease)};
	HeapTuple  *rows;
	int			nlines;
	int		   *partitions;
	Datum	   *attempts;
	ArrayType **events;
	bool		null;

	aside_execute_by_place(&plan, "SELECT part, attempt, events FROM (" ATTEMPTS("0") " UNION ALL " ATTEMPTS("1") " UNION ALL " ATTEMPTS("2")
						   ") l ORDER BY at, ctid", 1, types, values);
	nlines = SPI_processed;
	partitions = palloc(sizeof(int) * Max(nlines, 1));
	attempts = palloc(sizeof(Datum) * Max(nlines, 1));
	events = palloc(sizeof(ArrayType *) * Max(nlines, 1));
	*count = 0;
	for (int i = 0; i < nlines; i++)
	{
		partitions[i] = DatumGetInt32(aside_value_at(i, 1, &null));
		attempts[i] = aside_value_at(i, 2, &null);
		events[i] = DatumGetArrayTypePCopy(aside_value_at(i, 3, &null));
		*count += ArrayGetNItems(ARR_NDIM(events[i]), ARR_DIMS(events[i]));
	}
	rows = MemoryContextAllocZero(into, sizeof(HeapTuple) * Max(*count, 1));
	*ids = MemoryContextAlloc(into, sizeof(int64) * Max(*count, 1));
	for (int i = 0, at = 0; i < nlines; i++)
	{
		int			of_line = ArrayGetNItems(ARR_NDIM(events[i]), ARR_DIMS(events[i]));

		read_line(partitions[i], attempts[i], events[i], rows + at, desc, into);
		memcpy(*ids + at, ARR_DATA_PTR(events[i]), sizeof(int64) * of_line);
		at += of_line;
	}
	return rows;
}
