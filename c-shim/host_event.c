/*
 * host_event.c
 *	  What a coordinator asks of its database: handlers, events that have
 *	  become visible, lines of the log, and partitions by turns.
 *
 * Each is a transaction of its own.  Which events are new is told by
 * snapshots: those of transactions that the last snapshot did not see and
 * this one does.  So an event is found once, in whatever order transactions
 * commit, and what has been found is not looked through again, however long
 * some other transaction keeps old snapshots alive.
 */
#include "event.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "common/pg_prng.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/itemptr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

/* What is lent to the core until its next call, and what stays between fetches. */
static MemoryContext lent = NULL;

/* Transactions that the last fetch did not see: those from next on, and these. */
static uint64 unseen_from = 0;
static uint64 *unseen = NULL;
static int	nunseen = 0;
static bool fetched_before = false;

/* What this coordinator began with; the tables of an extension that was created since are for another one. */
static Oid	tables = InvalidOid;
static bool replaced = false;

bool
aside_tables_replaced(void)
{
	return replaced;
}

/* Within a transaction, before any work. */
void
aside_begin_with_tables(void)
{
	tables = aside_hold_tables();
}

static void
hold_tables(void)
{
	Oid			here = aside_hold_tables();

	if (OidIsValid(here) && here == tables)
		return;
	replaced = OidIsValid(here);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("the tables of pg_aside are missing")));
}

static void
begin_work(void)
{
	if (lent == NULL)
		lent = AllocSetContextCreate(TopMemoryContext, "pg_aside events", ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(lent);
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	hold_tables();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	PushActiveSnapshot(GetTransactionSnapshot());
}

static void
end_work(void)
{
	PopActiveSnapshot();
	SPI_finish();
	CommitTransactionCommand();
	(void) pgstat_report_stat(false);
}

/* After an error within: nothing of it stays. */
static void
drop_work(aside_status status)
{
	if (status != ASIDE_OK)
		AbortOutOfAnyTransaction();
}

static void
run_query(const char *query, int nargs, Oid *types, Datum *values, const char *nulls, int expected)
{
	int			code = SPI_execute_with_args(query, nargs, types, values, nulls, false, 0);

	if (code != expected)
		elog(ERROR, "could not run \"%s\": %s", query, SPI_result_code_string(code));
}

static Datum
column(int row, int number, bool *null)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, null);
}

static aside_bytes
lend_text(int row, int number)
{
	bool		null;
	Datum		value = column(row, number, &null);
	aside_bytes bytes = {NULL, 0};
	text	   *copy;

	if (null)
		return bytes;
	copy = DatumGetTextPP(value);
	bytes.len = VARSIZE_ANY_EXHDR(copy);
	bytes.data = MemoryContextAlloc(lent, bytes.len + 1);
	memcpy(unconstify(uint8_t *, bytes.data), VARDATA_ANY(copy), bytes.len);
	return bytes;
}

/* A bigint, or a timestamp as the server has it: in microseconds since 2000. */
static int64
number_at(int row, int number)
{
	bool		null;
	Datum		value = column(row, number, &null);

	return null ? 0 : DatumGetInt64(value);
}

static double
host_random(void)
{
	return pg_prng_double(&pg_global_prng_state);
}

static aside_status
host_handlers(const aside_handler_spec **specs, size_t *count)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		aside_handler_spec *all;

		begin_work();
		run_query("SELECT id::int8, version::int8, owner::oid::int8, concurrency::int8, batch_size::int8, "
				  "max_attempts::int8, coalesce(least(ceil(extract(epoch FROM timeout) * 1000), 2147483647), 0)::int8, "
				  "ordered::int::int8, durable::int::int8, paused::int::int8, "
				  "least(extract(epoch FROM backoff) * 1000000, 1e18)::int8, "
				  "least(extract(epoch FROM backoff_cap) * 1000000, 1e18)::int8, since, name, channel "
				  "FROM aside.event_handler ORDER BY id", 0, NULL, NULL, NULL, SPI_OK_SELECT);
		*count = SPI_processed;
		all = MemoryContextAllocZero(lent, sizeof(aside_handler_spec) * Max(*count, 1));
		for (size_t i = 0; i < *count; i++)
		{
			aside_handler_spec *spec = &all[i];

			spec->id = number_at(i, 1);
			spec->version = number_at(i, 2);
			spec->owner = number_at(i, 3);
			spec->superuser = aside_will_be_superuser(spec->owner);
			spec->concurrency = number_at(i, 4);
			spec->batch_size = number_at(i, 5);
			spec->max_attempts = number_at(i, 6);
			spec->timeout_ms = number_at(i, 7);
			spec->ordered = number_at(i, 8);
			spec->durable = number_at(i, 9);
			spec->paused = number_at(i, 10);
			spec->backoff_us = number_at(i, 11);
			spec->cap_us = number_at(i, 12);
			spec->since = number_at(i, 13);
			spec->name = lend_text(i, 14);
			spec->channel = lend_text(i, 15);
		}
		*specs = all;
		end_work();
	}
	ASIDE_END_TRY();
	drop_work(status);
	return status;
}

/* With the epoch that the server is in, or was in just before. */
static uint64
full_xid(TransactionId xid, FullTransactionId next)
{
	uint32		epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return U64FromFullTransactionId(FullTransactionIdFromEpochAndXid(epoch, xid));
}

/* What this snapshot does not see is for the next fetch. */
static void
remember_snapshot(Snapshot snapshot)
{
	FullTransactionId next = ReadNextFullTransactionId();

	if (unseen != NULL)
		pfree(unseen);
	nunseen = snapshot->xcnt;
	unseen = MemoryContextAlloc(TopMemoryContext, sizeof(uint64) * Max(nunseen, 1));
	for (int i = 0; i < nunseen; i++)
		unseen[i] = full_xid(snapshot->xip[i], next);
	unseen_from = full_xid(snapshot->xmax, next);
	fetched_before = true;
}

#define EVENT_COLUMNS(n) \
	"SELECT e.id, e.ctid, " n "::int8, coalesce(e.target, 0)::int8, e.priority::int8, " \
	"coalesce(e.run_at, e.emitted), e.channel, e.key, " \
	"e.command, CASE WHEN e.command = 'cancel' THEN (e.payload #>> '{}')::int8 END, (e.run_at IS NOT NULL)::int::int8"

/* Those that somebody handles; an event that nobody does costs little. */
#define FOR_SOMEBODY \
	" AND (e.target IS NOT NULL OR e.command IS NOT NULL OR e.channel IN (SELECT h.channel FROM aside.event_handler h))"

#define NEW_EVENTS(n) \
	EVENT_COLUMNS(n) " FROM aside.event_" n " e WHERE e.txid >= $1" FOR_SOMEBODY " UNION ALL " \
	EVENT_COLUMNS(n) " FROM aside.event_" n " e WHERE e.txid = ANY ($2)" FOR_SOMEBODY

/* What the last fetch, or one before it, could see, of channels whose handlers were made after $3. */
#define PASSED_EVENTS(n) \
	EVENT_COLUMNS(n) " FROM aside.event_" n " e WHERE e.txid < $1 AND e.txid <> ALL ($2) AND e.id > $3 AND " \
	"(e.command = 'cancel' OR e.channel IN (SELECT h.channel FROM aside.event_handler h WHERE h.since >= $3))"

/* Of a partition, all events that some handler has not ended, with what the log says of each of their handlers. */
#define OPEN_EVENTS(n) \
	EVENT_COLUMNS(n) ", k.handler::int8, k.attempts::int8, k.ended::int::int8, k.unfinished::int::int8, k.next_at " \
	"FROM aside.event_" n " e JOIN (" \
	"SELECT p.id, h.id AS handler, coalesce(l.attempts, 0) + p.attempts AS attempts, coalesce(l.ended, false) AS ended, " \
	"coalesce(l.unfinished, false) AS unfinished, l.next_at, " \
	"bool_and(coalesce(l.ended, false)) OVER (PARTITION BY p.id) AS over " \
	"FROM aside.event_" n " p JOIN aside.event_handler h ON p.target = h.id " \
	"OR (p.target IS NULL AND h.channel = p.channel AND h.since < p.id) LEFT JOIN (" \
	"SELECT o.handler, ev, count(*) FILTER (WHERE o.kind = 'a') " \
	"- count(*) FILTER (WHERE o.kind = 'w' OR (o.kind = 'f' AND o.attempt IS NULL)) AS attempts, " \
	"bool_or(o.kind IN ('d', 'x', 'c')) AS ended, " \
	"count(*) FILTER (WHERE o.kind = 'a') > count(*) FILTER (WHERE o.kind IN ('w', 'f', 'x', 'd')) AS unfinished, " \
	"max(o.next_at) AS next_at " \
	"FROM aside.event_log_" n " o, unnest(o.events) ev GROUP BY o.handler, ev) l " \
	"ON l.ev = p.id AND l.handler = h.id WHERE p.command IS NULL OR p.command = 'notify') k " \
	"ON k.id = e.id AND NOT k.over"

/* What was asked of the coordinator, with no handlers. */
#define COMMANDS(n) \
	EVENT_COLUMNS(n) ", NULL::int8, NULL::int8, NULL::int8, NULL::int8, NULL::timestamptz " \
	"FROM aside.event_" n " e WHERE e.command = 'cancel'"

static void
fill_fetched(aside_fetched *event, int row)
{
	bool		null;
	ItemPointer tid = (ItemPointer) DatumGetPointer(column(row, 2, &null));
	aside_bytes command = lend_text(row, 9);

	event->id = number_at(row, 1);
	event->tid = (uint64) ItemPointerGetBlockNumber(tid) << 16 | ItemPointerGetOffsetNumber(tid);
	event->partition = number_at(row, 3);
	event->target = number_at(row, 4);
	event->priority = (int32) number_at(row, 5);
	event->run_at = number_at(row, 6);
	event->channel = lend_text(row, 7);
	event->key = lend_text(row, 8);
	event->cancels = command.len == strlen("cancel") && memcmp(command.data, "cancel", command.len) == 0;
	event->cancelled = number_at(row, 10);
	event->timed = number_at(row, 11);
}

/* Rows of one event, one for each of its handlers, follow each other. */
static size_t
group_rows(aside_fetched *events, aside_known *known)
{
	size_t		count = 0;
	bool		no_handler;

	for (uint64 row = 0; row < SPI_processed; row++)
	{
		if (count == 0 || events[count - 1].id != number_at(row, 1))
		{
			fill_fetched(&events[count], row);
			events[count].known = known;
			count++;
		}
		(void) column(row, 12, &no_handler);
		if (no_handler)
			continue;
		known->handler = number_at(row, 12);
		known->attempts = number_at(row, 13);
		known->ended = number_at(row, 14);
		known->unfinished = number_at(row, 15);
		known->next_at = number_at(row, 16);
		known++;
		events[count - 1].nknown++;
	}
	return count;
}

static void
fetch_first(const aside_fetched **events, size_t *count)
{
	aside_fetched *all;
	aside_known *known;

	/* Read-only: by the snapshot that is remembered. */
	if (SPI_execute("SELECT * FROM (" OPEN_EVENTS("0") " UNION ALL " OPEN_EVENTS("1") " UNION ALL " OPEN_EVENTS("2")
					" UNION ALL " COMMANDS("0") " UNION ALL " COMMANDS("1") " UNION ALL " COMMANDS("2")
					") o ORDER BY 1, 3", true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look for open events");
	all = MemoryContextAllocHuge(lent, sizeof(aside_fetched) * Max(SPI_processed, 1));
	known = MemoryContextAllocHuge(lent, sizeof(aside_known) * Max(SPI_processed, 1));
	memset(all, 0, sizeof(aside_fetched) * Max(SPI_processed, 1));
	*count = group_rows(all, known);
	*events = all;
}

/* The transactions that the last fetch did not see, as the two parameters of those who look for their events. */
static void
unseen_transactions(Datum *values)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(nunseen, 1));

	for (int i = 0; i < nunseen; i++)
		elements[i] = FullTransactionIdGetDatum(FullTransactionIdFromU64(unseen[i]));
	values[0] = FullTransactionIdGetDatum(FullTransactionIdFromU64(unseen_from));
	values[1] = PointerGetDatum(construct_array(elements, nunseen, XID8OID, sizeof(uint64),
												FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* Without what the log says of them. */
static void
lend_events(const aside_fetched **events, size_t *count)
{
	aside_fetched *all = MemoryContextAllocHuge(lent, sizeof(aside_fetched) * Max(SPI_processed, 1));

	memset(all, 0, sizeof(aside_fetched) * Max(SPI_processed, 1));
	for (uint64 i = 0; i < SPI_processed; i++)
		fill_fetched(&all[i], i);
	*count = SPI_processed;
	*events = all;
}

static void
fetch_new(const aside_fetched **events, size_t *count)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {XID8OID, XID8ARRAYOID};
	Datum		values[2];

	if (plan == NULL)
	{
		plan = SPI_prepare(NEW_EVENTS("0") " UNION ALL " NEW_EVENTS("1") " UNION ALL " NEW_EVENTS("2"), 2, types);
		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare the look for new events: %s", SPI_result_code_string(SPI_result));
	}
	unseen_transactions(values);
	if (SPI_execute_plan(plan, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look for new events");
	lend_events(events, count);
}

static aside_status
host_fetch(const aside_fetched **events, size_t *count)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		Snapshot	snapshot;

		begin_work();
		/* Repeatable: what is remembered is what the query has seen. */
		snapshot = GetActiveSnapshot();
		if (fetched_before)
			fetch_new(events, count);
		else
			fetch_first(events, count);
		remember_snapshot(snapshot);
		end_work();
	}
	ASIDE_END_TRY();
	drop_work(status);
	return status;
}

/* Rarely asked, when there is a new handler: no index is kept for it. */
static aside_status
host_look_back(int64_t since, const aside_fetched **events, size_t *count)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		Oid			types[3] = {XID8OID, XID8ARRAYOID, INT8OID};
		Datum		values[3];

		begin_work();
		unseen_transactions(values);
		values[2] = Int64GetDatum(since);
		run_query(PASSED_EVENTS("0") " UNION ALL " PASSED_EVENTS("1") " UNION ALL " PASSED_EVENTS("2"), 3, types, values,
				  NULL, SPI_OK_SELECT);
		lend_events(events, count);
		end_work();
	}
	ASIDE_END_TRY();
	drop_work(status);
	return status;
}

static Datum
event_array(const int64_t *events, size_t count)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(count, 1));

	for (size_t i = 0; i < count; i++)
		elements[i] = Int64GetDatum(events[i]);
	return PointerGetDatum(construct_array(elements, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
										   TYPALIGN_DOUBLE));
}

static Datum
bytes_datum(aside_bytes bytes)
{
	return PointerGetDatum(cstring_to_text_with_len((const char *) bytes.data, bytes.len));
}

#define BURY \
	"INSERT INTO aside.event_dead (id, handler, channel, payload, key, priority, headers, emitted, " \
	"emitted_by, attempts, sqlstate, message) SELECT id, $2, channel, payload, key, priority, headers, " \
	"emitted, emitted_by, $3, $4, $5 FROM aside.event_%u WHERE id = $6"

/* Among the dead, with what the event was.  Where it lies is known to who has run it. */
static void
bury_event(const aside_log_entry *entry)
{
	Oid			types[6] = {TIDOID, INT4OID, INT4OID, TEXTOID, TEXTOID, INT8OID};
	ItemPointerData tid;
	Datum		values[6];

	ItemPointerSet(&tid, entry->tid >> 16, entry->tid & 0xffff);
	values[0] = PointerGetDatum(&tid);
	values[1] = Int32GetDatum(entry->handler);
	values[2] = Int32GetDatum(entry->attempt);
	values[3] = CStringGetTextDatum(unpack_sql_state(entry->sqlstate));
	values[4] = bytes_datum(entry->message);
	values[5] = Int64GetDatum(entry->events[0]);
	run_query(psprintf(BURY " AND ctid = $1 ON CONFLICT DO NOTHING", entry->partition), 6, types, values, NULL,
			  SPI_OK_INSERT);
	if (SPI_processed == 0)
		run_query(psprintf(BURY " ON CONFLICT DO NOTHING", entry->partition), 6, types, values, NULL, SPI_OK_INSERT);
}

/* Who replaces an event has its key locked: a coordinator waits for nobody's transaction. */
#define FREE_KEYS \
	"DELETE FROM aside.event_unique WHERE ctid = ANY (ARRAY(SELECT u.ctid FROM aside.event_unique u " \
	"WHERE u.event = ANY ($1) FOR UPDATE SKIP LOCKED))"

static void
write_entry(const aside_log_entry *entry)
{
	Oid			types[7] = {INT4OID, CHAROID, INT8ARRAYOID, INT4OID, TIMESTAMPTZOID, TEXTOID, TEXTOID};
	Datum		values[7];
	char		nulls[8] = "       ";

	values[0] = Int32GetDatum(entry->handler);
	values[1] = CharGetDatum(entry->kind);
	values[2] = event_array(entry->events, entry->nevents);
	values[3] = Int32GetDatum(entry->attempt);
	nulls[3] = entry->attempt == 0 ? 'n' : ' ';
	values[4] = TimestampTzGetDatum(entry->next_at);
	nulls[4] = entry->next_at == 0 ? 'n' : ' ';
	values[5] = CStringGetTextDatum(unpack_sql_state(entry->sqlstate));
	nulls[5] = entry->sqlstate == 0 ? 'n' : ' ';
	values[6] = bytes_datum(entry->message);
	nulls[6] = entry->message.data == NULL ? 'n' : ' ';
	run_query(psprintf("INSERT INTO aside.event_log_%u (handler, kind, events, attempt, next_at, sqlstate, message) "
					   "VALUES ($1, $2, $3, $4, $5, $6, $7)", entry->partition),
			  7, types, values, nulls, SPI_OK_INSERT);
	if (entry->kind == 'x')
		bury_event(entry);
	if (entry->kind == 'x' || entry->kind == 'c')
		run_query(FREE_KEYS, 1, &types[2], &values[2], NULL, SPI_OK_DELETE);
}

static aside_status
host_record(const aside_log_entry *entries, size_t count)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		begin_work();
		for (size_t i = 0; i < count; i++)
			write_entry(&entries[i]);
		end_work();
	}
	ASIDE_END_TRY();
	drop_work(status);
	return status;
}

static aside_status
host_listen(const aside_bytes *channels, size_t count)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		begin_work();
		Async_UnlistenAll();
		for (size_t i = 0; i < count; i++)
			Async_Listen(pnstrdup((const char *) channels[i].data, channels[i].len));
		end_work();
	}
	ASIDE_END_TRY();
	drop_work(status);
	return status;
}

/* They may be many. */
static SPIPlanPtr
spill_plan(int partition)
{
	static SPIPlanPtr plans[ASIDE_PARTITIONS];
	Oid			types[4] = {TEXTOID, TEXTOID, INT4OID, INT4OID};

	if (partition < 0 || partition >= ASIDE_PARTITIONS)
		elog(ERROR, "partition of events is not known");
	if (plans[partition] == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(psprintf("INSERT INTO aside.event_%d (id, txid, channel, payload, priority, headers, emitted, "
												"emitted_by, target, command) VALUES (nextval('aside.event_id'), pg_current_xact_id(), $1, "
												"to_jsonb($2), 0, jsonb_build_object('pid', $4), clock_timestamp(), 0, $3, 'notify')",
												partition), 4, types);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare to record notifications: %s", SPI_result_code_string(SPI_result));
		plans[partition] = plan;
	}
	return plans[partition];
}

static aside_status
host_spill(const aside_note *notes, size_t count)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		SPIPlanPtr	plan;
		MemoryContext each;

		begin_work();
		plan = spill_plan(aside_current_partition());
		each = AllocSetContextCreate(CurrentMemoryContext, "pg_aside notification", ALLOCSET_DEFAULT_SIZES);
		for (size_t i = 0; i < count; i++)
		{
			MemoryContext old = MemoryContextSwitchTo(each);
			Datum		values[4] = {
				bytes_datum(notes[i].channel), bytes_datum(notes[i].payload), Int32GetDatum(notes[i].handler),
				Int32GetDatum(notes[i].pid)
			};

			if (SPI_execute_plan(plan, values, NULL, false, 0) != SPI_OK_INSERT)
				elog(ERROR, "could not record notifications: %s", SPI_result_code_string(SPI_result));
			MemoryContextSwitchTo(old);
			MemoryContextReset(each);
		}
		end_work();
	}
	ASIDE_END_TRY();
	drop_work(status);
	return status;
}

/* Of a worker that has gone: rarely asked, so that the log needs no index. */
static aside_status
host_acknowledged(uint32_t handler, uint32_t partition, const int64_t *events, size_t count, bool *are)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		Oid			types[2] = {INT4OID, INT8ARRAYOID};
		Datum		values[2];

		begin_work();
		values[0] = Int32GetDatum(handler);
		values[1] = event_array(events, count);
		run_query(psprintf("SELECT 1 FROM aside.event_log_%u WHERE handler = $1 AND kind = 'd' AND events @> $2 LIMIT 1",
						   partition), 2, types, values, NULL, SPI_OK_SELECT);
		*are = SPI_processed > 0;
		end_work();
	}
	ASIDE_END_TRY();
	drop_work(status);
	return status;
}

static void
host_complain(aside_bytes handler, uint64_t times, uint32_t sqlstate, aside_bytes message)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		int			name_len = handler.len;
		const char *name = (const char *) handler.data;
		int			len = message.len;
		const char *text = (const char *) message.data;

		if (times == 0)
			ereport(LOG,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("notifications for event handler \"%.*s\" are dropped: they could be neither kept in memory nor recorded",
							name_len, name)));
		else if (times == 1)
			ereport(LOG,
					(errcode(sqlstate),
					 errmsg("event handler \"%.*s\" failed for a notification: %.*s", name_len, name, len, text)));
		else
			ereport(LOG,
					(errcode(sqlstate),
					 errmsg("event handler \"%.*s\" failed for %llu notifications, the last time: %.*s", name_len, name,
							(unsigned long long) times, len, text)));
	}
	ASIDE_END_TRY();
}

static aside_status
host_rotate(uint32_t to)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		Oid			types[1] = {INT4OID};
		Datum		values[1] = {Int32GetDatum(to)};

		begin_work();
		run_query("UPDATE aside.event_control SET partition = $1", 1, types, values, NULL, SPI_OK_UPDATE);
		end_work();
		aside_set_current_partition(to);
	}
	ASIDE_END_TRY();
	drop_work(status);
	return status;
}

/* Is there an event that no fetch has seen yet?  Asked under the lock, with a snapshot taken after it was got. */
static bool
has_unseen(uint32 partition)
{
	Oid			types[2] = {XID8OID, XID8ARRAYOID};
	Datum		values[2];

	unseen_transactions(values);
	run_query(psprintf("SELECT 1 FROM aside.event_%u WHERE txid >= $1 UNION ALL "
					   "SELECT 1 FROM aside.event_%u WHERE txid = ANY ($2)", partition, partition), 2, types, values,
			  NULL, SPI_OK_SELECT);
	return SPI_processed > 0;
}

/* What the log knows of those that died goes with it otherwise. */
static void
keep_errors(uint32 partition)
{
	run_query(psprintf("UPDATE aside.event_dead d SET errors = l.errors FROM (SELECT e AS event, handler, "
					   "jsonb_agg(jsonb_build_object('attempt', attempt, 'at', at, 'sqlstate', sqlstate, 'message', message) "
					   "ORDER BY at) AS errors FROM aside.event_log_%u, unnest(events) e "
					   "WHERE kind IN ('f', 'x') AND sqlstate IS NOT NULL "
					   "GROUP BY e, handler HAVING bool_or(kind = 'x')) l "
					   "WHERE d.errors IS NULL AND d.id = l.event AND d.handler = l.handler", partition),
			  0, NULL, NULL, NULL, SPI_OK_UPDATE);
}

/* That a lock was not to be had is no error. */
static aside_status
unless_locked(aside_status status)
{
	if (status != ASIDE_OK && aside_kept_error() != NULL &&
		aside_kept_error()->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		return ASIDE_OK;
	return status;
}

/* Empty a partition, unless somebody reads it or writes to it just now. */
static aside_status
host_truncate(uint32_t partition, bool *done)
{
	aside_status status = ASIDE_OK;

	*done = false;
	ASIDE_TRY(status);
	{
		begin_work();
		(void) set_config_option("lock_timeout", "50ms", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
		run_query(psprintf("LOCK TABLE aside.event_%u, aside.event_log_%u IN ACCESS EXCLUSIVE MODE", partition, partition),
				  0, NULL, NULL, NULL, SPI_OK_UTILITY);
		if (!has_unseen(partition))
		{
			/* Those that nobody has handled; what was carried over keeps its key. */
			run_query(psprintf("DELETE FROM aside.event_unique u USING aside.event_%u e WHERE u.event = e.id "
							   "AND e.command IS DISTINCT FROM 'moved'", partition), 0, NULL, NULL, NULL, SPI_OK_DELETE);
			keep_errors(partition);
			run_query(psprintf("TRUNCATE aside.event_%u, aside.event_log_%u", partition, partition), 0, NULL, NULL,
					  NULL, SPI_OK_UTILITY);
			*done = true;
		}
		end_work();
	}
	ASIDE_END_TRY();
	if (status != ASIDE_OK)
		*done = false;
	drop_work(status);
	return unless_locked(status);
}

static aside_status
host_carry_over(uint32_t partition, const int64_t *events, size_t count)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		Oid			types[1] = {INT8ARRAYOID};
		int			to = aside_current_partition();
		Datum		values[1];

		begin_work();
		values[0] = event_array(events, count);
		run_query(psprintf("INSERT INTO aside.event_log_%d (handler, kind, events, attempt, at, next_at, sqlstate, message) "
						   "SELECT handler, kind, ARRAY(SELECT unnest(events) INTERSECT SELECT unnest($1)), attempt, at, next_at, "
						   "sqlstate, message FROM aside.event_log_%u WHERE events && $1", to, partition),
				  1, types, values, NULL, SPI_OK_INSERT);
		run_query(psprintf("INSERT INTO aside.event_%d (id, txid, channel, payload, key, priority, run_at, unique_key, headers, "
						   "emitted, emitted_by, target, attempts, command, depth) SELECT id, pg_current_xact_id(), channel, payload, "
						   "key, priority, run_at, unique_key, headers, emitted, emitted_by, target, attempts, command, depth "
						   "FROM aside.event_%u WHERE id = ANY ($1)", to, partition),
				  1, types, values, NULL, SPI_OK_INSERT);
		/* The old copies are no events of any channel any more. */
		run_query(psprintf("UPDATE aside.event_%u SET channel = '', command = 'moved' WHERE id = ANY ($1)", partition),
				  1, types, values, NULL, SPI_OK_UPDATE);
		end_work();
	}
	ASIDE_END_TRY();
	drop_work(status);
	return status;
}

static aside_status
host_compact_keys(void)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		begin_work();
		run_query("SELECT aside.event_unique_compact()", 0, NULL, NULL, NULL, SPI_OK_SELECT);
		end_work();
	}
	ASIDE_END_TRY();
	drop_work(status);
	return unless_locked(status);
}

static uint64_t
host_size(uint32_t partition)
{
	aside_status status = ASIDE_OK;
	uint64		size = 0;
	volatile uint64 *out = &size;

	ASIDE_TRY(status);
	{
		begin_work();
		run_query(psprintf("SELECT pg_relation_size('aside.event_%u') + pg_relation_size('aside.event_log_%u')",
						   partition, partition), 0, NULL, NULL, NULL, SPI_OK_SELECT);
		*out = number_at(0, 1);
		end_work();
	}
	ASIDE_END_TRY();
	drop_work(status);
	return size;
}

const struct aside_event_host *
aside_get_event_host(void)
{
	static aside_event_host host = {
		.abi_version = ASIDE_ABI_VERSION,
		.random = host_random,
		.handlers = host_handlers,
		.fetch = host_fetch,
		.look_back = host_look_back,
		.record = host_record,
		.listen = host_listen,
		.notifications = aside_lend_heard,
		.spill = host_spill,
		.acknowledged = host_acknowledged,
		.complain = host_complain,
		.rotate = host_rotate,
		.truncate = host_truncate,
		.carry_over = host_carry_over,
		.compact_keys = host_compact_keys,
		.size = host_size,
	};

	host.database = MyDatabaseId;
	host.tables = tables;
	host.rotation_bytes = (uint64) aside_event_rotation_size * 1024;
	host.rotation_us = (uint64) aside_event_rotation_time * 1000;
	return &host;
}
