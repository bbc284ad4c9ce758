/*
 * sql/emit.c
 *	  async_event_emit(). It must cost little more than an INSERT.
 */
#include "call/call.h"
#include "coordinator/coordinator.h"
#include "definitions/definition.h"
#include "events/row.h"
#include "module/module.h"

#include "access/genam.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

PG_FUNCTION_INFO_V1(aside_event_emit);

#define MAX_UNIQUE_KEY 2000

/* Used if no coordinator has said yet which partition new events go to. */
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

/* What is emitted to such a channel is said by pg_aside itself. */
static bool
is_reserved(text *channel)
{
	return VARSIZE_ANY_EXHDR(channel) >= 6 && memcmp(VARDATA_ANY(channel), "aside.", 6) == 0;
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
		refuse(ERRCODE_INVALID_PARAMETER_VALUE, "arguments \"delay\" and \"run_at\" of an event exclude each other");
	if (delay)
		due = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(now),
													  PG_GETARG_DATUM(3)));
	else if (at)
		due = PG_GETARG_TIMESTAMPTZ(4);
	if (TIMESTAMP_IS_NOEND(due))
		refuse(ERRCODE_INVALID_PARAMETER_VALUE, "time of an event must not be infinity");
	return due;
}

/* What holds for this event instead of its handlers' options. */
static void
check_limits(FunctionCallInfo fcinfo)
{
	if (!PG_ARGISNULL(9) && PG_GETARG_INT32(9) < 1)
		refuse(ERRCODE_INVALID_PARAMETER_VALUE, "argument \"max_attempts\" of an event must be at least 1");
	for (int i = 10; i < 12; i++)
		if (!PG_ARGISNULL(i) && aside_patience(fcinfo, i) <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("argument \"%s\" of an event must be longer than zero", i == 10 ? "timeout" : "expires")));
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
				 errdetail("With its channel it has %zu bytes; the limit is %d.", len, MAX_UNIQUE_KEY),
				 errhint("Use a shorter one, for example a hash of it.")));
}

/* Claim the unique key. Returns the other event that keeps it, or 0: this event has it now. */
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

/* The event is of this group. */
static void
join_group(Datum group, int64 id, int partition, Oid user)
{
	Oid			types[4] = {INT8OID, INT8OID, INT4OID, OIDOID};
	Datum		values[4] = {group, Int64GetDatum(id), Int32GetDatum(partition), ObjectIdGetDatum(user)};

	if (SPI_execute_with_args("SELECT aside.event_join_group($1, $2, $3, $4)", 4, types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not join a group of events");
}

/*
 * Run what needs queries of the tables, as their owner. The results are those
 * of read_partition() and claim_key().
 */
static int64
claim_as_owner(FunctionCallInfo fcinfo, int *partition, int64 id, const char *conflict, Oid keys_of)
{
	AsideUser	before;
	int64		other = 0;

	before = aside_act_as(aside_events_owner());
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (*partition < 0)
		*partition = read_partition();
	if (!PG_ARGISNULL(6))
		other = claim_key(PG_GETARG_DATUM(0), PG_GETARG_DATUM(6), id, conflict, keys_of);
	if (other == 0 && !PG_ARGISNULL(13))
		join_group(PG_GETARG_DATUM(13), id, *partition, before.user);
	SPI_finish();
	aside_act_again(before);
	return other;
}

/* Count the open events of a role, up to `most`. This transaction's events are among them. */
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

/* This looks through the tables only if the quota may be used up. */
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
 * unique_key text, on_conflict text, headers jsonb, max_attempts int, timeout interval, expires interval,
 * unique_until text, "group" bigint) returns bigint
 */
Datum
aside_event_emit(PG_FUNCTION_ARGS)
{
	static const struct
	{
		int			argument;
		int			column;
	}			taken[] = {
		{1, EVENT_PAYLOAD}, {2, EVENT_KEY}, {5, EVENT_PRIORITY}, {6, EVENT_UNIQUE_KEY}, {8, EVENT_HEADERS}, {9, EVENT_MAX_ATTEMPTS}, {13, EVENT_GROUP},
	};
	TimestampTz now = GetCurrentTimestamp();
	const char *conflict = PG_ARGISNULL(7) ? "reject" : text_to_cstring(PG_GETARG_TEXT_PP(7));
	const char *until = PG_ARGISNULL(12) ? "end" : text_to_cstring(PG_GETARG_TEXT_PP(12));
	AsideEventTables tables;
	AsideEventRow row;
	TimestampTz due;
	bool		at_once;
	int			partition;
	Oid			keys_of;
	int64		id;

	aside_check_ready("events");
	PreventCommandIfReadOnly("async_event_emit()");
	if (PG_ARGISNULL(0) || VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(0)) == 0)
		refuse(ERRCODE_NULL_VALUE_NOT_ALLOWED, "channel of an event must not be null or empty");
	if (is_reserved(PG_GETARG_TEXT_PP(0)))
		ereport(ERROR,
				(errcode(ERRCODE_RESERVED_NAME),
				 errmsg("channel names that begin with \"aside.\" are reserved")));
	if (strcmp(conflict, "reject") != 0 && strcmp(conflict, "keep") != 0 && strcmp(conflict, "replace") != 0)
		refuse(ERRCODE_INVALID_PARAMETER_VALUE, "on_conflict must be \"reject\", \"keep\" or \"replace\"");
	if (strcmp(until, "start") != 0 && strcmp(until, "end") != 0)
		refuse(ERRCODE_INVALID_PARAMETER_VALUE, "unique_until must be \"start\" or \"end\"");
	if (aside_event_depth >= aside_max_event_depth)
		ereport(ERROR,
				(errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
				 errmsg("events emitted by handlers of events are nested too deeply"),
				 errdetail("The limit is %d.", aside_max_event_depth),
				 errhint("Consider increasing \"aside.max_event_depth\", after ensuring that this ends.")));
	if (!PG_ARGISNULL(6))
		check_unique_key(PG_GETARG_DATUM(0), PG_GETARG_DATUM(6));
	due = due_at(fcinfo, now, &at_once);
	check_limits(fcinfo);
	tables = aside_event_tables();
	aside_check_tables_owner(tables.owner);
	keys_of = aside_check_channel(PG_GETARG_DATUM(0), GetUserId());
	partition = aside_current_partition();
	/* What has an id has a transaction: whoever knows of a later id, and that no such transaction runs, has seen all before it. */
	(void) GetTopFullTransactionId();
	id = aside_next_event_id();
	if (partition < 0 || !PG_ARGISNULL(6) || !PG_ARGISNULL(13))
	{
		int64		other = claim_as_owner(fcinfo, &partition, id, conflict, keys_of);

		if (other != 0)
			PG_RETURN_INT64(other);
	}
	check_quota(GetUserId());
	aside_start_event(&row, id, PG_GETARG_DATUM(0));
	for (int i = 0; i < lengthof(taken); i++)
		if (!PG_ARGISNULL(taken[i].argument))
			aside_set_event(&row, taken[i].column, PG_GETARG_DATUM(taken[i].argument));
	if (!at_once)
		aside_set_event(&row, EVENT_RUN_AT, TimestampTzGetDatum(due));
	if (!PG_ARGISNULL(10))
		aside_set_event(&row, EVENT_TIMEOUT_MS, Int32GetDatum(Min((aside_patience(fcinfo, 10) + 999) / 1000, INT_MAX)));
	if (!PG_ARGISNULL(11))
		aside_set_event(&row, EVENT_EXPIRES, DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(now), PG_GETARG_DATUM(11)));
	if (!PG_ARGISNULL(6) && strcmp(until, "start") == 0)
		aside_set_event(&row, EVENT_KEY_UNTIL_START, BoolGetDatum(true));
	aside_set_event(&row, EVENT_EMITTED, TimestampTzGetDatum(now));
	aside_set_event(&row, EVENT_EMITTED_BY, ObjectIdGetDatum(GetUserId()));
	aside_set_event(&row, EVENT_DEPTH, Int32GetDatum(aside_event_depth + 1));
	aside_insert_event(tables.partitions[partition], &row);
	aside_announce_events();
	PG_RETURN_INT64(id);
}
