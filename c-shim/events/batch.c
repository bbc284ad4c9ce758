/*
 * events/batch.c
 *	  The events of a batch, in their worker. As the owner of the tables, this
 *	  file reads them and acknowledges them.
 *
 * The search_path is the handler's all the time, so every query here names
 * each object and each operator with its schema.
 */
#include "events/handler.h"
#include "events/row.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "storage/itemptr.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

static SPIPlanPtr read_plans[ASIDE_PARTITIONS];
static SPIPlanPtr free_key_plan = NULL;

static Datum
make_composite(const AsideEvent *event, Datum key, bool no_key, Datum headers, bool no_headers, int attempt,
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
read_event(HeapTuple row, TupleDesc desc, int attempt, AsideEvent *event)
{
	bool		null[13];
	Datum		value[13];

	for (int i = 0; i < lengthof(value); i++)
		value[i] = SPI_getbinval(row, desc, i + 1, &null[i]);
	event->id = DatumGetInt64(value[0]);
	event->channel = value[1];
	event->payload = value[2];
	event->no_payload = null[2];
	event->text = null[3] ? (Datum) 0 : value[3];
	event->unique = !null[9];
	event->notified = !null[10];
	event->group = null[12] ? 0 : DatumGetInt64(value[12]);
	aside_event_depth = Max(aside_event_depth, DatumGetInt32(value[11]));
	event->composite = make_composite(event, value[4], null[4], value[5], null[5], attempt, value[6],
									  value[7], null[7], DatumGetInt32(value[8]));
}

/* Their order is one that no index has: else the planner might go through all of an index for it. */
#define READ_EVENTS(n) \
	"SELECT id OPERATOR(pg_catalog.+) 0, channel, payload, payload OPERATOR(pg_catalog.#>>) '{}', key, headers, emitted, " \
	"pg_catalog.pg_get_userbyid(emitted_by), priority, unique_key, command, depth, of_group " \
	"FROM aside.event_" n " WHERE ctid OPERATOR(pg_catalog.=) ANY ($1) " \
	"AND (command IS NULL OR command OPERATOR(pg_catalog.<>) 'moved') ORDER BY 1"

static int
compare_ids(const void *a, const void *b)
{
	int64		left = *(const int64 *) a;
	int64		right = *(const int64 *) b;

	return left < right ? -1 : left > right;
}

/* Are these rows the events of the batch, by their ids? A command that rewrites the table moves its rows. */
static bool
are_meant(const aside_batch *batch)
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
AsideEvent *
aside_read_events(const aside_batch *batch)
{
	static const char *const queries[ASIDE_PARTITIONS] = {READ_EVENTS("0"), READ_EVENTS("1"), READ_EVENTS("2")};
	const uint64 *tids = (const uint64 *) (batch + 1);
	ItemPointer pointers = palloc(sizeof(ItemPointerData) * batch->count);
	Datum	   *elements = palloc(sizeof(Datum) * batch->count);
	AsideEvent *events = palloc0(sizeof(AsideEvent) * batch->count);
	Oid			types[1] = {TIDARRAYOID};
	Datum		values[1];

	for (uint32 i = 0; i < batch->count; i++)
	{
		ItemPointerSet(&pointers[i], tids[i] >> 16, tids[i] & 0xffff);
		elements[i] = PointerGetDatum(&pointers[i]);
	}
	values[0] = PointerGetDatum(construct_array(elements, batch->count, TIDOID, sizeof(ItemPointerData),
												false, TYPALIGN_SHORT));
	aside_execute_by_place(&read_plans[batch->partition], queries[batch->partition], 1, types, values);
	if (!are_meant(batch))
		return NULL;
	for (uint32 i = 0; i < batch->count; i++)
		read_event(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, batch->attempt, &events[i]);
	return events;
}

AsideEvent *
aside_read_notifications(const aside_batch *batch)
{
	AsideEvent *events = palloc0(sizeof(AsideEvent) * batch->count);
	const char *at = (const char *) (batch + 1);

	for (uint32 i = 0; i < batch->count; i++)
	{
		const aside_note_head *head = (const aside_note_head *) at;
		const char *channel = at + sizeof(aside_note_head);
		const char *payload = channel + TYPEALIGN(8, head->channel_len);

		at = payload + TYPEALIGN(8, head->payload_len);
		events[i].notified = true;
		events[i].channel = PointerGetDatum(cstring_to_text_with_len(channel, head->channel_len));
		events[i].text = PointerGetDatum(cstring_to_text_with_len(payload, head->payload_len));
		events[i].payload = aside_json_string(payload, head->payload_len);
		events[i].composite = make_composite(&events[i], (Datum) 0, true, aside_sender_headers(head->pid), false, batch->attempt,
											 TimestampTzGetDatum(GetCurrentTimestamp()), (Datum) 0, true, 0);
	}
	return events;
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
	aside_execute_by_place(&free_key_plan, "DELETE FROM aside.event_unique WHERE event OPERATOR(pg_catalog.=) ANY ($1)", 1,
						  types, values);
}

/* Write one line of the log. */
static void
log_events(uint32 handler, const aside_batch *batch, char kind, Datum *ids, int count, TimestampTz next_at)
{
	static SPIPlanPtr plans[ASIDE_PARTITIONS];
	Oid			types[5] = {INT8OID, INT8ARRAYOID, INT4OID, CHAROID, TIMESTAMPTZOID};
	Datum		values[5] = {
		Int64GetDatum(handler),
		PointerGetDatum(construct_array(ids, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)),
		Int32GetDatum(batch->attempt), CharGetDatum(kind), TimestampTzGetDatum(next_at)
	};
	char		nulls[6] = {' ', ' ', ' ', ' ', next_at == 0 ? 'n' : ' ', '\0'};

	if (plans[batch->partition] == NULL)
		plans[batch->partition] =
			aside_prepare_kept(psprintf("INSERT INTO aside.event_log_%u (handler, kind, events, attempt, next_at) "
										"VALUES ($1, $4, $2, $3, $5)", batch->partition), 5, types);
	aside_execute_plan(plans[batch->partition], values, nulls);
}

/* Write that these events of groups are done. */
static void
log_group(uint32 handler, const aside_batch *batch, Datum *groups, Datum *ids, int count)
{
	static SPIPlanPtr plans[ASIDE_PARTITIONS];
	Oid			types[3] = {INT8ARRAYOID, INT8ARRAYOID, INT8OID};
	Datum		values[3] = {
		PointerGetDatum(construct_array(groups, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)),
		PointerGetDatum(construct_array(ids, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)),
		Int64GetDatum(handler)
	};

	if (plans[batch->partition] == NULL)
		plans[batch->partition] =
			aside_prepare_kept(psprintf("INSERT INTO aside.event_group_%u (of_group, event, handler, kind) "
										"SELECT g, e, $3, " ASIDE_SQL_DONE " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) u (g, e)",
										batch->partition), 3, types);
	aside_execute_plan(plans[batch->partition], values, NULL);
}

/*
 * Done as the owner of the tables. When this commits, the batch is done and
 * its unique keys are free, but for the events that the handler has put off.
 * Returns those.
 */
const aside_put_off *
aside_acknowledge_events(uint32 handler, const aside_batch *batch, const AsideEvent *events, size_t *nput_off)
{
	Datum	   *done = palloc(sizeof(Datum) * batch->count);
	Datum	   *unique = palloc(sizeof(Datum) * batch->count);
	Datum	   *groups = palloc(sizeof(Datum) * batch->count);
	Datum	   *grouped = palloc(sizeof(Datum) * batch->count);
	aside_put_off *put_off = palloc(sizeof(aside_put_off) * batch->count);
	int			ndone = 0;
	int			nunique = 0;
	int			ngrouped = 0;

	*nput_off = 0;
	for (uint32 i = 0; i < batch->count; i++)
	{
		Datum		id = Int64GetDatum(events[i].id);
		TimestampTz until;

		if (aside_was_put_off(i, &until))
		{
			log_events(handler, batch, ASIDE_LETTER_PUT_OFF, &id, 1, until);
			put_off[(*nput_off)++] = (aside_put_off) {.event = events[i].id, .until = until};
			continue;
		}
		done[ndone++] = id;
		if (events[i].unique)
			unique[nunique++] = id;
		if (events[i].group != 0)
		{
			groups[ngrouped] = Int64GetDatum(events[i].group);
			grouped[ngrouped++] = id;
		}
	}
	if (ndone > 0)
		log_events(handler, batch, ASIDE_LETTER_DONE, done, ndone, 0);
	if (nunique > 0)
		free_keys(unique, nunique);
	if (ngrouped > 0)
		log_group(handler, batch, groups, grouped, ngrouped);
	return put_off;
}
