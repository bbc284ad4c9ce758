/*
 * events/record.c
 *	  What a coordinator writes down: entries of the log, dead events,
 *	  notifications that are to be recorded, and messages for the server's
 *	  log.
 */
#include "coordinator/coordinator.h"
#include "coordinator/statement.h"
#include "events/row.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "storage/itemptr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define BURY \
	"INSERT INTO aside.event_dead (id, handler, channel, payload, key, priority, headers, emitted, " \
	"emitted_by, unique_key, key_until_start, max_attempts, timeout_ms, attempts, sqlstate, message, detail, hint, context) SELECT id, $2, channel, payload, key, priority, headers, " \
	"emitted, CASE WHEN emitted_by <> 0 THEN pg_get_userbyid(emitted_by) END, unique_key, key_until_start, max_attempts, timeout_ms, $3, $4, $5, $7, $8, $9 FROM aside.event_%u WHERE id = $6"
#define NAMED " ON CONFLICT DO NOTHING RETURNING (SELECT h.name FROM aside.event_handler h WHERE h.id = $2)"

/* The texts of an error, in the order in which they come. */
typedef enum ErrorText
{
	ERROR_MESSAGE,
	ERROR_DETAIL,
	ERROR_HINT,
	ERROR_CONTEXT,
} ErrorText;

#define ERROR_TEXTS 4

/* Each of an error's texts; none has an end of its own. */
static void
split_error(aside_bytes packed, aside_bytes *texts)
{
	memset(texts, 0, sizeof(aside_bytes) * ERROR_TEXTS);
	for (int i = 0; i < ERROR_TEXTS && packed.data != NULL; i++)
	{
		const uint8_t *end = memchr(packed.data, '\0', packed.len);

		texts[i].data = packed.data;
		texts[i].len = end == NULL ? packed.len : end - packed.data;
		packed.len -= end == NULL ? packed.len : texts[i].len + 1;
		packed.data = end == NULL ? NULL : end + 1;
	}
}

/*
 * Set them as parameters. An empty text is NULL, except for the message. A
 * text may have been cut within a character.
 */
static void
put_error(aside_bytes packed, Datum *values, char *nulls)
{
	aside_bytes texts[ERROR_TEXTS];

	split_error(packed, texts);
	for (int i = 0; i < ERROR_TEXTS; i++)
	{
		bool		null = texts[i].data == NULL || (i != ERROR_MESSAGE && texts[i].len == 0);

		if (!null)
			texts[i].len = pg_mbcliplen((const char *) texts[i].data, texts[i].len, texts[i].len);
		values[i] = null ? (Datum) 0 : aside_bytes_datum(texts[i]);
		nulls[i] = null ? 'n' : ' ';
	}
}

/* Write a line to the server's log for each event that has died, once the tables say so. */
typedef struct Death
{
	const aside_log_entry *entry;
	const char *handler;
} Death;

static Death *deaths = NULL;
static size_t ndeaths = 0;

static void
announce_deaths(void)
{
	for (size_t i = 0; i < ndeaths; i++)
	{
		const aside_log_entry *entry = deaths[i].entry;
		aside_bytes texts[ERROR_TEXTS];

		split_error(entry->message, texts);
		ereport(LOG,
				(errcode(entry->sqlstate),
				 errmsg("event handler \"%s\" failed for event %lld for good, in attempt %u: %.*s", deaths[i].handler,
						(long long) entry->events[0], entry->attempt, (int) texts[ERROR_MESSAGE].len,
						(const char *) texts[ERROR_MESSAGE].data),
				 texts[ERROR_DETAIL].len == 0 ? 0 :
				 errdetail("%.*s", (int) texts[ERROR_DETAIL].len, (const char *) texts[ERROR_DETAIL].data)));
	}
}

/* Put the event among the dead. The worker that ran it knows its partition. */
static void
bury_event(const aside_log_entry *entry)
{
	Oid			types[9] = {TIDOID, INT8OID, INT4OID, TEXTOID, TEXTOID, INT8OID, TEXTOID, TEXTOID, TEXTOID};
	ItemPointerData tid;
	Datum		values[9];
	char		nulls[10] = "         ";
	Datum		error[ERROR_TEXTS];
	char		no_error[ERROR_TEXTS];

	ItemPointerSet(&tid, entry->tid >> 16, entry->tid & 0xffff);
	values[0] = PointerGetDatum(&tid);
	values[1] = Int64GetDatum(entry->handler);
	values[2] = Int32GetDatum(entry->attempt);
	values[3] = CStringGetTextDatum(unpack_sql_state(entry->sqlstate));
	values[5] = Int64GetDatum(entry->events[0]);
	put_error(entry->message, error, no_error);
	values[4] = error[ERROR_MESSAGE];
	nulls[4] = no_error[ERROR_MESSAGE];
	memcpy(&values[6], &error[ERROR_DETAIL], sizeof(Datum) * (ERROR_TEXTS - 1));
	memcpy(&nulls[6], &no_error[ERROR_DETAIL], ERROR_TEXTS - 1);
	aside_run_query(psprintf(BURY " AND ctid = $1" NAMED, entry->partition), 9, types, values, nulls,
			  SPI_OK_INSERT_RETURNING);
	if (SPI_processed == 0)
		aside_run_query(psprintf(BURY NAMED, entry->partition), 9, types, values, nulls, SPI_OK_INSERT_RETURNING);
	if (SPI_processed > 0)
	{
		char	   *name = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);

		deaths[ndeaths].entry = entry;
		deaths[ndeaths++].handler = MemoryContextStrdup(aside_lent, name == NULL ? "?" : name);
		aside_run_query("SELECT aside.event_tell_dead($6, $2)::int8", 9, types, values, nulls, SPI_OK_SELECT);
		if (aside_number_at(0, 1) > 0)
			aside_announce_events();
	}
}

/* A transaction that replaces an event has locked its key. A coordinator does not wait for it. */
#define FREE_KEYS \
	"DELETE FROM aside.event_unique WHERE ctid = ANY (ARRAY(SELECT u.ctid FROM aside.event_unique u " \
	"WHERE u.event = ANY ($1) FOR UPDATE SKIP LOCKED))"

#define INSERT_ENTRY(n) \
	"INSERT INTO aside.event_log_" n " (handler, kind, events, attempt, next_at, sqlstate, message, detail, hint, context, lease) " \
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"

#define END_IN_GROUP(n) \
	"INSERT INTO aside.event_group_" n " (of_group, event, handler, kind) VALUES ($1, $2, $3, $4)"

static void
write_entry(const aside_log_entry *entry)
{
	static AsideStatement insert[ASIDE_PARTITIONS] = {{INSERT_ENTRY("0")}, {INSERT_ENTRY("1")}, {INSERT_ENTRY("2")}};
	static AsideStatement free_keys = {.text = FREE_KEYS};
	static AsideStatement end_in_group[ASIDE_PARTITIONS] = {{END_IN_GROUP("0")}, {END_IN_GROUP("1")}, {END_IN_GROUP("2")}};
	AsideParameters written = {0};
	AsideParameters freed = {0};
	AsideParameters ended = {0};
	Datum		error[ERROR_TEXTS];
	char		no_error[ERROR_TEXTS];

	if (entry->kind == ASIDE_LOG_KEYS_FREED)
	{
		aside_add_numbers(&freed, entry->events, entry->nevents);
		aside_run_statement(&free_keys, &freed);
		return;
	}
	if (entry->partition >= ASIDE_PARTITIONS)
		elog(ERROR, "no partition of events has the number %u", entry->partition);
	aside_add_number(&written, entry->handler);
	aside_add_value(&written, CHAROID, CharGetDatum(entry->kind), false);
	aside_add_numbers(&written, entry->events, entry->nevents);
	aside_add_value(&written, INT4OID, Int32GetDatum(entry->attempt), entry->attempt == 0);
	aside_add_value(&written, TIMESTAMPTZOID, TimestampTzGetDatum(entry->next_at), entry->next_at == 0);
	aside_add_string(&written, entry->sqlstate == 0 ? NULL : unpack_sql_state(entry->sqlstate));
	put_error(entry->message, error, no_error);
	for (int i = 0; i < ERROR_TEXTS; i++)
		aside_add_value(&written, TEXTOID, error[i], no_error[i] == 'n');
	aside_add_number_or_null(&written, entry->lease, entry->lease == 0);
	aside_run_statement(&insert[entry->partition], &written);
	if (entry->kind == ASIDE_LOG_DEAD)
		bury_event(entry);
	if (entry->kind == ASIDE_LOG_DEAD || entry->kind == ASIDE_LOG_CANCELLED || entry->kind == ASIDE_LOG_EXPIRED)
	{
		aside_add_numbers(&freed, entry->events, entry->nevents);
		aside_run_statement(&free_keys, &freed);
	}
	if (entry->group != 0)
	{
		aside_add_number(&ended, entry->group);
		aside_add_number(&ended, entry->events[0]);
		aside_add_number(&ended, entry->handler);
		aside_add_value(&ended, CHAROID, CharGetDatum(entry->kind), false);
		aside_run_statement(&end_in_group[entry->partition], &ended);
	}
}

aside_status
aside_event_end_groups(const int64_t *groups, size_t count, uint64_t *emitted, bool *busy)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		Oid			types[1] = {INT8ARRAYOID};
		Datum		values[1];

		aside_begin_work();
		values[0] = aside_event_array(groups, count);
		aside_run_query("SELECT g.emitted::int8, g.busy::int::int8 FROM aside.event_groups_end($1) g", 1, types, values, NULL, SPI_OK_SELECT);
		*emitted = aside_number_at(0, 1);
		*busy = aside_number_at(0, 2) != 0;
		if (*emitted > 0)
			aside_announce_events();
		aside_end_work();
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return status;
}

aside_status
aside_event_record(const aside_log_entry *entries, size_t count)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		aside_begin_work();
		deaths = MemoryContextAllocHuge(aside_lent, sizeof(Death) * Max(count, 1));
		ndeaths = 0;
		for (size_t i = 0; i < count; i++)
			write_entry(&entries[i]);
		aside_end_work();
		announce_deaths();
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return status;
}

aside_status
aside_event_spill(const aside_note *notes, size_t count)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		AsideEventTables tables;
		int			partition = aside_current_partition();
		MemoryContext each;

		if (partition < 0 || partition >= ASIDE_PARTITIONS)
			elog(ERROR, "partition of events is not known");
		aside_begin_work();
		tables = aside_event_tables();
		each = AllocSetContextCreate(CurrentMemoryContext, "pg_aside notification", ALLOCSET_DEFAULT_SIZES);
		for (size_t i = 0; i < count; i++)
		{
			MemoryContext old = MemoryContextSwitchTo(each);
			AsideEventRow row;

			aside_start_event(&row, aside_next_event_id(), aside_bytes_datum(notes[i].channel));
			aside_set_event(&row, EVENT_PAYLOAD, aside_json_string((const char *) notes[i].payload.data, notes[i].payload.len));
			aside_set_event(&row, EVENT_HEADERS, aside_sender_headers(notes[i].pid));
			aside_set_event(&row, EVENT_TARGET, Int64GetDatum(notes[i].handler));
			aside_set_event(&row, EVENT_COMMAND, CStringGetTextDatum("notify"));
			aside_insert_event(tables.partitions[partition], &row);
			MemoryContextSwitchTo(old);
			MemoryContextReset(each);
		}
		aside_end_work();
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return status;
}

/* What a worker that is gone has committed for these events. This is asked so rarely that the log needs no index. */
aside_status
aside_event_committed(uint32_t handler, uint32_t partition, const int64_t *events, size_t count, aside_committed *out)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		Oid			types[2] = {INT8OID, INT8ARRAYOID};
		Datum		values[2];

		aside_begin_work();
		values[0] = Int64GetDatum(handler);
		values[1] = aside_event_array(events, count);
		aside_run_query(psprintf("SELECT count(*) FILTER (WHERE l.kind = " ASIDE_SQL_DONE "), count(*) FILTER (WHERE l.kind = " ASIDE_SQL_PUT_OFF "), "
								 "(max(ARRAY[l.at, l.next_at]) FILTER (WHERE l.kind = " ASIDE_SQL_PUT_OFF "))[2] "
								 "FROM unnest($2) WITH ORDINALITY e (id, n) LEFT JOIN aside.event_log_%u l ON l.handler = $1 AND l.events && $2 "
								 "AND e.id = ANY (l.events) AND l.kind IN (" ASIDE_SQL_DONE ", " ASIDE_SQL_PUT_OFF ") GROUP BY e.n ORDER BY e.n",
								 partition), 2, types, values, NULL, SPI_OK_SELECT);
		if (SPI_processed != count)
			elog(ERROR, "could not look for what was committed");
		for (size_t i = 0; i < count; i++)
			out[i] = (aside_committed) {.done = aside_number_at(i, 1) > 0, .put_offs = aside_number_at(i, 2), .until = aside_number_at(i, 3)};
		aside_end_work();
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return status;
}

void
aside_event_complain(aside_bytes handler, uint64_t times, uint32_t sqlstate, aside_bytes message)
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
