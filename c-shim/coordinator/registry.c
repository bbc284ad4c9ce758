/*
 * coordinator/registry.c
 *	  The registry of coordinators: what the launcher, the coordinators and
 *	  all other processes tell one another. Also the views of coordinators and
 *	  of what they count.
 */
#include "coordinator/coordinator.h"
#include "module/module.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

/* The entry of this process, a coordinator. */
uint32		aside_own_entry = 0;

bool
aside_has_launcher(void)
{
	return aside_event_registry != NULL;
}

/* -1: nobody's. */
void
aside_set_latch(int64_t proc)
{
	if (proc >= 0 && proc < ProcGlobal->allProcCount)
		SetLatch(&ProcGlobal->allProcs[proc].procLatch);
}

/* The partition that new events of this database go to. -1: no coordinator has said yet. */
int
aside_current_partition(void)
{
	return aside_event_registry == NULL ? -1 : aside_registry_partition(aside_event_registry, MyDatabaseId);
}

/* New events of this coordinator's database go to that partition. */
void
aside_set_current_partition(int partition)
{
	aside_registry_set_partition(aside_event_registry, aside_own_entry, partition);
}

/* The highest id of an event that the sequence gave, as far as was known; from now on that is id at least. */
int64
aside_raise_event_id(Oid sequence, int64 id)
{
	return aside_event_registry == NULL ? 0 : aside_registry_raise_id(aside_event_registry, MyDatabaseId, sequence, id);
}

/* There may be something new in this database: a set of aside_topic. */
void
aside_tell_coordinator(uint32 topics)
{
	if (aside_event_registry != NULL)
		aside_set_latch(aside_registry_say(aside_event_registry, MyDatabaseId, topics, GetCurrentTimestamp()));
}

/* A number that grows with each announced change of this database's handlers. */
uint32
aside_handler_changes(void)
{
	return aside_event_registry == NULL ? 0 : aside_registry_changes(aside_event_registry, MyDatabaseId);
}

/* CREATE EXTENSION has committed here. */
void
aside_want_coordinator(void)
{
	if (aside_event_registry == NULL)
		return;
	aside_registry_want(aside_event_registry, MyDatabaseId, GetCurrentTimestamp());
	aside_set_latch(aside_launcher_kick(aside_event_registry));
}

/* A call cannot get a worker process. Does a coordinator leave to make room? */
bool
aside_make_room(void)
{
	int64_t		latch = -1;
	bool		made;

	if (aside_event_registry == NULL)
		return false;
	made = aside_registry_make_room(aside_event_registry, GetCurrentTimestamp(), &latch);
	aside_set_latch(latch);
	return made;
}

/* A command needs a database for itself. False: no coordinator is there any more. */
bool
aside_vacate_coordinator(Oid database)
{
	int64_t		latch = -1;
	bool		there;

	if (aside_event_registry == NULL)
		return false;
	there = aside_registry_vacate(aside_event_registry, database, GetCurrentTimestamp() + 10 * USECS_PER_SEC, &latch);
	aside_set_latch(latch);
	return there;
}

/* There are other databases than before. */
void
aside_wake_launcher(void)
{
	if (aside_event_registry != NULL)
		aside_set_latch(aside_launcher_kick(aside_event_registry));
}

/* Nobody wants it for himself any more. */
void
aside_readmit_coordinator(Oid database)
{
	if (aside_event_registry == NULL)
		return;
	aside_registry_readmit(aside_event_registry, database);
	aside_set_latch(aside_launcher_kick(aside_event_registry));
}

PG_FUNCTION_INFO_V1(aside_coordinators);

/* Rows of aside.coordinators. */
Datum
aside_coordinators(PG_FUNCTION_ARGS)
{
	static const char *const states[] = {ASIDE_ENTRY_STATES(ASIDE_NAMED)};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	aside_coordinator_row row;

	aside_begin_rows(fcinfo);
	for (uint32 i = 0; aside_event_registry != NULL && aside_view_coordinator(aside_event_registry, i, &row); i++)
	{
		char	   *database = row.state == ASIDE_ENTRY_FREE ? NULL : get_database_name(row.database);
		Datum		values[5];
		bool		nulls[5] = {false};

		/* The launcher will forget a dropped database when it looks next. */
		if (database == NULL)
			continue;
		values[0] = DirectFunctionCall1(namein, CStringGetDatum(database));
		values[1] = CStringGetTextDatum(states[row.state % lengthof(states)]);
		nulls[2] = row.pid == 0;
		values[2] = Int32GetDatum(row.pid);
		values[3] = Int32GetDatum(row.failures);
		values[4] = TimestampTzGetDatum(row.since);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* Failures by SQLSTATE. */
static Datum
failures_by_sqlstate(const uint32 *sqlstates, const uint32 *failures)
{
	StringInfoData json;

	initStringInfo(&json);
	for (int i = 0; i < ASIDE_COUNTED_ERRORS; i++)
		if (failures[i] != 0)
			appendStringInfo(&json, "%c\"%s\": %u", json.len == 0 ? '{' : ',', unpack_sql_state(sqlstates[i]), failures[i]);
	appendStringInfoString(&json, json.len == 0 ? "{}" : "}");
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
}

PG_FUNCTION_INFO_V1(aside_unseen_transactions_here);

/* The transactions whose events this database's coordinator has not counted. NULLs: that is not known. */
Datum
aside_unseen_transactions_here(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	uint64		from;
	uint64		running[ASIDE_UNSEEN_RUNNING];
	int			count = -1;
	Datum		elements[ASIDE_UNSEEN_RUNNING];
	Datum		values[2] = {0};
	bool		nulls[2] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (aside_event_registry != NULL)
		count = aside_registry_unseen(aside_event_registry, MyDatabaseId, &from, running);
	nulls[0] = nulls[1] = count < 0;
	if (count >= 0)
	{
		for (int i = 0; i < count; i++)
			elements[i] = FullTransactionIdGetDatum(FullTransactionIdFromU64(running[i]));
		values[0] = FullTransactionIdGetDatum(FullTransactionIdFromU64(from));
		values[1] = PointerGetDatum(construct_array(elements, count, XID8OID, sizeof(uint64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

PG_FUNCTION_INFO_V1(aside_handler_counts);

#define COUNT_COLUMNS 25

/* One row for each handler of this database, with what its coordinator has counted. */
Datum
aside_handler_counts(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	TimestampTz now = GetCurrentTimestamp();
	bool		outdated = false;
	aside_tally_row row;

	aside_begin_rows(fcinfo);
	for (uint32 i = 0; aside_event_registry != NULL && aside_view_tally(aside_event_registry, i, now, &row); i++)
	{
		Datum		values[COUNT_COLUMNS] = {
			Int64GetDatum(row.handler), Int64GetDatum(row.notes_waiting), Int64GetDatum(row.notes_done),
			Int64GetDatum(row.notes_failed), Int64GetDatum(row.notes_dropped), Int64GetDatum(row.notes_recorded), (Datum) 0,
			Int64GetDatum(row.waiting), Int64GetDatum(row.delayed), Int64GetDatum(row.retrying), Int64GetDatum(row.running),
			Int64GetDatum(row.dead), Int64GetDatum(row.workers), TimestampTzGetDatum(row.oldest), Int64GetDatum(row.emitted),
			Int64GetDatum(row.done), Int64GetDatum(row.failed), Int64GetDatum(row.died), Int64GetDatum(row.cancelled),
			Int64GetDatum(row.expired), Float8GetDatum(row.emitted_rate), Float8GetDatum(row.done_rate),
			Float8GetDatum(row.failed_rate), BoolGetDatum(row.partial), (Datum) 0
		};
		bool		nulls[COUNT_COLUMNS] = {false};

		if (row.database != MyDatabaseId)
			continue;
		values[6] = failures_by_sqlstate(row.notes_sqlstates, row.notes_failures);
		values[24] = failures_by_sqlstate(row.sqlstates, row.failures);
		nulls[13] = row.oldest == 0;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		outdated |= row.outdated != 0;
	}
	if (outdated)
		aside_tell_coordinator(ASIDE_TOPIC_EVENTS);
	return (Datum) 0;
}
