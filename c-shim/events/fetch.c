/*
 * events/fetch.c
 *	  Events as the tables have them: those of some transactions, what is
 *	  open, and where they lie.
 *
 * Of which transactions is for the core to say (rust-core/src/coordinator/
 * unseen.rs), and by which snapshot they were read it is told.
 */
#include "coordinator/statement.h"
#include "events/events.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "storage/itemptr.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

/* What the snapshot says that the next query reads by. */
static void
lend_snapshot(aside_snapshot *seen)
{
	Snapshot	snapshot = GetActiveSnapshot();
	uint32	   *running = MemoryContextAlloc(aside_lent, sizeof(uint32) * Max(snapshot->xcnt, 1));

	memcpy(running, snapshot->xip, sizeof(uint32) * snapshot->xcnt);
	*seen = (aside_snapshot) {
		.next = U64FromFullTransactionId(ReadNextFullTransactionId()),
		.xmax = snapshot->xmax,
		.xip = running,
		.nxip = snapshot->xcnt,
	};
}

/*
 * Only equality of keys matters. So a long key is replaced by its hash, and
 * takes no more of a coordinator's memory than a short one.
 */
#define SAME_KEY "CASE WHEN octet_length(e.key) > 100 THEN hashtextextended(e.key, 0)::text ELSE e.key END"

#define FETCHED_COLUMNS(n) \
	"SELECT e.id, e.ctid, " n "::int8, coalesce(e.target, 0)::int8, e.priority::int8, " \
	"coalesce(e.run_at, e.emitted), e.channel, " SAME_KEY ", " \
	"e.command, CASE WHEN e.command IN ('cancel', 'lease', 'close') THEN (e.payload #>> '{}')::int8 END, (e.run_at IS NOT NULL)::int::int8, e.txid, coalesce(e.max_attempts, 0)::int8, coalesce(e.timeout_ms, 0)::int8, e.expires, " \
	"e.first_txid, e.timed_txid, coalesce(e.key_until_start, false)::int::int8, coalesce(e.of_group, 0)::int8"

/* The columns above. */
#define NFETCHED 19

/* Rows of these transactions. */
#define UNSEEN_ROWS(n) \
	"SELECT ctid, " n " AS partition, * FROM aside.event_" n " WHERE txid >= $1 UNION ALL " \
	"SELECT ctid, " n ", * FROM aside.event_" n " WHERE txid = ANY ($2)"

/*
 * Those that a handler takes, which the core knows: an event without a handler
 * costs little. A look must cost little too, because each commit of an event
 * is followed by one. So there is one list of columns and one condition, and
 * OFFSET 0 keeps the planner from making six of each.
 */
#define NEW_EVENTS \
	FETCHED_COLUMNS("e.partition") " FROM (" UNSEEN_ROWS("0") " UNION ALL " UNSEEN_ROWS("1") " UNION ALL " UNSEEN_ROWS("2") \
	" OFFSET 0) e WHERE e.target IS NOT NULL OR e.command IS NOT NULL OR e.channel = ANY ($3)"

/* Events that an earlier fetch could see, of channels whose handlers were made after $3. */
#define PASSED_EVENTS(n) \
	FETCHED_COLUMNS(n) " FROM aside.event_" n " e WHERE e.txid < $1 AND e.txid <> ALL ($2) AND e.id > $3 AND " \
	"(e.command = 'cancel' OR e.channel IN (SELECT h.channel FROM aside.event_handler h WHERE h.since >= $3))"

/*
 * Each event of a partition with each handler for which it has not ended, and
 * what the log says. Paused handlers come last, and so do events of unordered
 * handlers that are due later.
 */
#define OPEN_EVENTS(n) \
	FETCHED_COLUMNS(n) ", k.handler::int8, k.attempts::int8, k.paused::int::int8, k.unfinished::int::int8, k.next_at, " \
	"k.asked::int::int8, k.put_offs::int8, k.lease, k.lease_us, " \
	"(k.paused OR (NOT k.ordered AND coalesce(k.next_at, e.run_at, e.emitted) > now() + interval '10 minutes'))::int::int8 AS comes_last " \
	"FROM aside.event_" n " e JOIN (" \
	"SELECT p.id, h.handler, coalesce(l.attempts, 0) + p.attempts AS attempts, " \
	"coalesce(l.unfinished, false) AS unfinished, l.next_at, coalesce(l.asked, false) AS asked, coalesce(l.put_offs, 0) AS put_offs, " \
	"CASE WHEN l.unfinished THEN l.lease END AS lease, " \
	"(extract(epoch FROM least(l.span[2] - now(), l.span[2] - l.span[1])) * 1000000)::int8 AS lease_us, " \
	"h.paused, h.ordered " \
	"FROM aside.event_" n " p JOIN aside.event_addresses h ON h.since < p.id AND p.id <= h.until AND " \
	"h.by = aside.event_by(p.channel, p.target) LEFT JOIN (" \
	"SELECT o.handler, ev, count(*) FILTER (WHERE o.kind = " ASIDE_SQL_ATTEMPT ") " \
	"- count(*) FILTER (WHERE o.kind IN (" ASIDE_SQL_WITHDRAWN ", " ASIDE_SQL_PUT_OFF ") OR (o.kind = " ASIDE_SQL_FAILED " AND o.attempt IS NULL)) AS attempts, " \
	"bool_or(aside.event_kind_ends(o.kind)) AS ended, " \
	"count(*) FILTER (WHERE o.kind = " ASIDE_SQL_ATTEMPT ") > count(*) FILTER (WHERE o.kind IN (" ASIDE_SQL_WITHDRAWN ", " ASIDE_SQL_FAILED ", " ASIDE_SQL_DEAD ", " ASIDE_SQL_DONE ", " ASIDE_SQL_PUT_OFF ")) AS unfinished, " \
	"(max(ARRAY[o.at, o.next_at]) FILTER (WHERE o.next_at IS NOT NULL AND o.lease IS NULL))[2] AS next_at, " \
	"max(o.lease) FILTER (WHERE o.kind = " ASIDE_SQL_ATTEMPT ") AS lease, " \
	"max(ARRAY[o.at, o.next_at]) FILTER (WHERE o.lease IS NOT NULL AND o.kind IN (" ASIDE_SQL_ATTEMPT ", " ASIDE_SQL_EXTENDED ")) AS span, " \
	"max(o.at) FILTER (WHERE o.kind IN (" ASIDE_SQL_PUT_OFF ", " ASIDE_SQL_RETIMED ")) " \
	"= max(o.at) FILTER (WHERE o.next_at IS NOT NULL AND o.lease IS NULL) AS asked, " \
	"count(*) FILTER (WHERE o.kind = " ASIDE_SQL_PUT_OFF ") AS put_offs " \
	"FROM aside.event_log_" n " o, unnest(o.events) ev GROUP BY o.handler, ev) l " \
	"ON l.ev = p.id AND l.handler = h.handler " \
	"WHERE (p.command IS NULL OR p.command = 'notify') AND l.ended IS NOT TRUE) k ON k.id = e.id"

/* Commands to the coordinator, which have no handlers. */
#define COMMANDS(n) \
	FETCHED_COLUMNS(n) ", NULL::int8, NULL::int8, NULL::int8, NULL::int8, NULL::timestamptz, NULL::int8, NULL::int8, NULL::int8, NULL::int8, 0::int8 " \
	"FROM aside.event_" n " e WHERE e.command = 'cancel'"

/* Block and offset in one word. */
static uint64
place_at(int row, int number)
{
	bool		null;
	ItemPointer tid = (ItemPointer) DatumGetPointer(aside_value_at(row, number, &null));

	return (uint64) ItemPointerGetBlockNumber(tid) << 16 | ItemPointerGetOffsetNumber(tid);
}

static bool
is_command(aside_bytes command, const char *name)
{
	return command.len == strlen(name) && memcmp(command.data, name, command.len) == 0;
}

static void
fill_fetched(aside_fetched *event, int row)
{
	aside_bytes command = aside_lend_text(row, 9);

	event->id = aside_number_at(row, 1);
	event->tid = place_at(row, 2);
	event->partition = aside_number_at(row, 3);
	event->target = aside_number_at(row, 4);
	event->priority = (int32) aside_number_at(row, 5);
	event->run_at = aside_number_at(row, 6);
	event->channel = aside_lend_text(row, 7);
	event->key = aside_lend_text(row, 8);
	event->cancels = is_command(command, "cancel");
	event->tells = is_command(command, ASIDE_LEASE_COMMAND);
	event->closes = is_command(command, "close");
	event->cancelled = event->cancels || event->closes ? aside_number_at(row, 10) : 0;
	event->lease = event->tells ? aside_number_at(row, 10) : 0;
	event->timed = aside_number_at(row, 11);
	event->txid = aside_number_at(row, 12);
	event->max_attempts = aside_number_at(row, 13);
	event->timeout_ms = aside_number_at(row, 14);
	event->expires = aside_number_at(row, 15);
	event->first_txid = aside_number_at(row, 16);
	event->timed_txid = aside_number_at(row, 17);
	event->frees_key = aside_number_at(row, 18);
	event->group = aside_number_at(row, 19);
}

/* Rows of one event, one for each of its handlers, follow each other. */
static size_t
count_events(void)
{
	size_t		count = 0;

	for (uint64 row = 0; row < SPI_processed; row++)
		count += row == 0 || aside_number_at(row, 1) != aside_number_at(row - 1, 1);
	return count;
}

static size_t
group_rows(aside_fetched *events, aside_known *known)
{
	size_t		count = 0;
	bool		no_handler;

	for (uint64 row = 0; row < SPI_processed; row++)
	{
		if (count == 0 || events[count - 1].id != aside_number_at(row, 1))
		{
			fill_fetched(&events[count], row);
			events[count].known = known;
			count++;
		}
		(void) aside_value_at(row, NFETCHED + 1, &no_handler);
		if (no_handler)
			continue;
		known->handler = aside_number_at(row, NFETCHED + 1);
		known->attempts = aside_number_at(row, NFETCHED + 2);
		known->paused = aside_number_at(row, NFETCHED + 3);
		known->unfinished = aside_number_at(row, NFETCHED + 4);
		known->next_at = aside_number_at(row, NFETCHED + 5);
		known->asked = aside_number_at(row, NFETCHED + 6);
		known->put_offs = aside_number_at(row, NFETCHED + 7);
		known->lease = aside_number_at(row, NFETCHED + 8);
		known->lease_us = aside_number_at(row, NFETCHED + 9);
		known++;
		events[count - 1].nknown++;
	}
	return count;
}

static void
fetch_open(size_t limit, const aside_fetched **events, size_t *count)
{
	aside_fetched *all;
	aside_known *known;
	size_t		nevents;
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(Min(limit, INT_MAX))};

	/* The tables have no statistics, so the planner takes them for small. */
	(void) set_config_option("enable_nestloop", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	/* Read-only: by the snapshot that the core is told of.  Commands come first, and all of them. */
	if (SPI_execute_with_args("SELECT * FROM (" COMMANDS("0") " UNION ALL " COMMANDS("1") " UNION ALL " COMMANDS("2")
					" UNION ALL (SELECT * FROM (" OPEN_EVENTS("0") " UNION ALL " OPEN_EVENTS("1") " UNION ALL " OPEN_EVENTS("2")
					") o ORDER BY comes_last, 1, 3 LIMIT $1)) c", 1, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look for open events");
	nevents = count_events();
	all = MemoryContextAllocHuge(aside_lent, sizeof(aside_fetched) * Max(nevents, 1));
	known = MemoryContextAllocHuge(aside_lent, sizeof(aside_known) * Max(SPI_processed, 1));
	memset(all, 0, sizeof(aside_fetched) * Max(nevents, 1));
	*count = group_rows(all, known);
	*events = all;
}

/* As the two parameters of those who look for these transactions' events. */
void
aside_unseen_transactions(const aside_unseen *unseen, Datum *values)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(unseen->nrunning, 1));

	for (size_t i = 0; i < unseen->nrunning; i++)
		elements[i] = FullTransactionIdGetDatum(FullTransactionIdFromU64(unseen->running[i]));
	values[0] = FullTransactionIdGetDatum(FullTransactionIdFromU64(unseen->from));
	values[1] = PointerGetDatum(construct_array(elements, unseen->nrunning, XID8OID, sizeof(uint64),
												FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* Without what the log says of them. */
static void
lend_events(const aside_fetched **events, size_t *count)
{
	aside_fetched *all = MemoryContextAllocHuge(aside_lent, sizeof(aside_fetched) * Max(SPI_processed, 1));

	memset(all, 0, sizeof(aside_fetched) * Max(SPI_processed, 1));
	for (uint64 i = 0; i < SPI_processed; i++)
		fill_fetched(&all[i], i);
	*count = SPI_processed;
	*events = all;
}

static void
fetch_new(const aside_unseen *unseen, const aside_bytes *channels, size_t nchannels, size_t limit,
		  const aside_fetched **events, size_t *count)
{
	static AsideStatement look = {.text = NEW_EVENTS};
	AsideParameters parameters = {0};
	Datum		transactions[2];

	aside_unseen_transactions(unseen, transactions);
	aside_add_value(&parameters, XID8OID, transactions[0], false);
	aside_add_value(&parameters, XID8ARRAYOID, transactions[1], false);
	aside_add_texts(&parameters, aside_text_array(channels, nchannels));
	aside_read_statement(&look, &parameters, limit);
	lend_events(events, count);
}

/*
 * A command that rewrites a table makes its rows look as if they had just
 * been inserted. An older snapshot would miss them.
 */
static void
hold_partitions(void)
{
	AsideEventTables tables = aside_event_tables();

	for (int i = 0; i < ASIDE_PARTITIONS; i++)
		LockRelationOid(tables.partitions[i], AccessShareLock);
	PopActiveSnapshot();
	PushActiveSnapshot(GetTransactionSnapshot());
}

aside_status
aside_event_fetch(const aside_unseen *unseen, const aside_bytes *channels, size_t nchannels, size_t limit,
				  const aside_fetched **events, size_t *count, aside_snapshot *seen)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		aside_begin_work();
		hold_partitions();
		lend_snapshot(seen);
		if (unseen == NULL)
			fetch_open(limit, events, count);
		else
			fetch_new(unseen, channels, nchannels, limit, events, count);
		aside_end_work();
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return status;
}

/* This is asked only when there is a new handler, so no index is kept for it. */
aside_status
aside_event_refetch(int64_t since, const aside_unseen *unseen, const aside_fetched **events, size_t *count)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		Oid			types[3] = {XID8OID, XID8ARRAYOID, INT8OID};
		Datum		values[3];

		aside_begin_work();
		aside_unseen_transactions(unseen, values);
		values[2] = Int64GetDatum(since);
		aside_run_query(PASSED_EVENTS("0") " UNION ALL " PASSED_EVENTS("1") " UNION ALL " PASSED_EVENTS("2"), 3, types, values,
				  NULL, SPI_OK_SELECT);
		lend_events(events, count);
		aside_end_work();
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return status;
}

#define PLACES(n) "SELECT id, ctid, " n "::int8 FROM aside.event_" n " WHERE command IS NULL OR command = 'notify'"

/* The places of events, after a command has rewritten a table and so moved its rows. */
aside_status
aside_event_places(const aside_place **places, size_t *count)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		aside_place *all;

		aside_begin_work();
		aside_run_query(PLACES("0") " UNION ALL " PLACES("1") " UNION ALL " PLACES("2"), 0, NULL, NULL, NULL, SPI_OK_SELECT);
		*count = SPI_processed;
		all = MemoryContextAllocHuge(aside_lent, sizeof(aside_place) * Max(*count, 1));
		for (size_t i = 0; i < *count; i++)
			all[i] = (aside_place) {.id = aside_number_at(i, 1), .tid = place_at(i, 2), .partition = aside_number_at(i, 3)};
		*places = all;
		aside_end_work();
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return status;
}
