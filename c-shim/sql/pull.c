/*
 * sql/pull.c
 *	  Consumers take events by themselves: async_event_pull(), _ack(), _nack()
 *	  and _extend().
 *
 * The coordinator says which events a consumer gets, and has recorded that
 * before it says so, whatever becomes of the consumer's transaction. What the
 * consumer says of them is part of that transaction (events/lease.c).
 *
 * A session remembers which lease it got of an event. It can say something of
 * the event only as long as that lease lasts, also if another consumer has
 * the event by now. Another session is told by the coordinator which lease
 * the event has.
 */
#include "call/call.h"
#include "coordinator/coordinator.h"
#include "definitions/definition.h"
#include "events/lease.h"
#include "module/module.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(aside_async_event_pull);
PG_FUNCTION_INFO_V1(aside_async_event_ack);
PG_FUNCTION_INFO_V1(aside_async_event_nack);
PG_FUNCTION_INFO_V1(aside_async_event_extend);

#define MOST_PULLED 10000
#define MOST_IDS 65535
#define LONGEST_LEASE (INT64CONST(366) * USECS_PER_DAY)

/* Leases that a session remembers; further ones are asked for. */
#define MOST_REMEMBERED 65536

typedef struct Remembered
{
	int64		handler;		/* with the event, the key */
	int64		event;
	int64		lease;
} Remembered;

static HTAB *remembered = NULL;

static void
remember(int64 handler, int64 event, int64 lease)
{
	int64		key[2] = {handler, event};

	if (remembered != NULL && hash_get_num_entries(remembered) >= MOST_REMEMBERED)
	{
		hash_destroy(remembered);
		remembered = NULL;
	}
	if (remembered == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(key), .entrysize = sizeof(Remembered), .hcxt = TopMemoryContext};

		remembered = hash_create("pg_aside leases", 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	((Remembered *) hash_search(remembered, key, HASH_ENTER, NULL))->lease = lease;
}

/* 0: this session did not get it. */
static int64
recall(int64 handler, int64 event)
{
	int64		key[2] = {handler, event};
	Remembered *found = remembered == NULL ? NULL : hash_search(remembered, key, HASH_FIND, NULL);

	return found == NULL ? 0 : found->lease;
}

static void
consumer_exits(int code, Datum arg)
{
	aside_pull_exit(aside_event_registry, MyProcPid);
}

/* What all of these functions begin with. From here on the owner of the tables acts, until end_work(). */
static int64
begin_work(FunctionCallInfo fcinfo, const char *function, AsideUser *before)
{
	static bool registered = false;
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {OIDOID, TEXTOID};
	Datum		values[2] = {ObjectIdGetDatum(GetUserId()), PG_ARGISNULL(0) ? (Datum) 0 : PG_GETARG_DATUM(0)};
	char		nulls[3] = {' ', PG_ARGISNULL(0) ? 'n' : ' ', '\0'};
	Oid			owner;
	bool		null;

	aside_check_ready("events");
	PreventCommandIfReadOnly(function);
	PreventCommandDuringRecovery(function);
	owner = aside_events_owner();
	aside_check_tables_owner(owner);
	if (!registered)
		before_shmem_exit(consumer_exits, (Datum) 0);
	registered = true;
	*before = aside_act_as(owner);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (plan == NULL)
	{
		SPIPlanPtr	made = SPI_prepare("SELECT aside.event_pull_handler($1, $2)", 2, types);

		if (made == NULL || SPI_keepplan(made) != 0)
			elog(ERROR, "could not prepare the look for a handler: %s", SPI_result_code_string(SPI_result));
		plan = made;
	}
	if (SPI_execute_plan(plan, values, nulls, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not look for a handler");
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null));
}

static void
end_work(AsideUser before)
{
	SPI_finish();
	aside_act_again(before);
}

static void
refuse_argument(const char *name, const char *rule)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"%s\" is out of range", name),
			 errdetail("It must be %s.", rule)));
}

static void
refuse_null(const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be null", what)));
}

static int64
lease_argument(FunctionCallInfo fcinfo, int at)
{
	int64		us;

	if (PG_ARGISNULL(at))
		refuse_null("argument \"lease\"");
	us = aside_patience(fcinfo, at);
	if (us == 0 || us > LONGEST_LEASE || us < 0)
		refuse_argument("lease", "longer than zero, and at most 366 days");
	return us;
}

/* Is it negative? */
static bool
is_negative(FunctionCallInfo fcinfo, int at)
{
	Interval	zero = {0};

	return DatumGetBool(DirectFunctionCall2(interval_lt, PG_GETARG_DATUM(at), IntervalPGetDatum(&zero)));
}

/* async_event_pull(name text, max int, lease interval, wait interval) returns setof aside.event */
Datum
aside_async_event_pull(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rows = (ReturnSetInfo *) fcinfo->resultinfo;
	AsideUser	before;
	MemoryContext outer = CurrentMemoryContext;
	int64		handler;
	int64		lease_us;
	int64		lease = 0;
	int64		wait_us;
	HeapTuple  *events;
	int64	   *ids;
	int			count;

	aside_begin_rows(fcinfo);
	if (PG_ARGISNULL(1))
		refuse_null("argument \"max\"");
	if (PG_GETARG_INT32(1) < 1 || PG_GETARG_INT32(1) > MOST_PULLED)
		refuse_argument("max", psprintf("from 1 to %d", MOST_PULLED));
	lease_us = lease_argument(fcinfo, 2);
	if (!PG_ARGISNULL(3) && is_negative(fcinfo, 3))
		refuse_argument("wait", "zero or longer");
	wait_us = PG_ARGISNULL(3) ? 0 : aside_patience(fcinfo, 3);
	handler = begin_work(fcinfo, "async_event_pull()", &before);
	if (aside_pull(aside_get_caller_host(), aside_event_registry, MyDatabaseId, handler, PG_GETARG_INT32(1), lease_us,
				   wait_us < 0 ? PG_INT64_MAX : wait_us, &lease) != ASIDE_OK)
		aside_throw_kept();
	if (lease != 0)
	{
		/* The coordinator has committed them after this statement began. */
		PushActiveSnapshot(GetLatestSnapshot());
		events = aside_read_lease(lease, rows->setDesc, &ids, &count, outer);
		PopActiveSnapshot();
		for (int i = 0; i < count; i++)
		{
			if (events[i] == NULL)
				continue;
			remember(handler, ids[i], lease);
			tuplestore_puttuple(rows->setResult, events[i]);
		}
	}
	end_work(before);
	return (Datum) 0;
}

/* The argument "ids": each once. */
static int64 *
ids_argument(FunctionCallInfo fcinfo, int *count)
{
	ArrayType  *array;
	int64	   *ids;
	int			given;

	if (PG_ARGISNULL(1))
		refuse_null("argument \"ids\"");
	array = PG_GETARG_ARRAYTYPE_P(1);
	given = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	if (array_contains_nulls(array))
		refuse_null("event id");
	if (given > MOST_IDS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many events"),
				 errdetail("%d ids were given; the limit is %d.", given, MOST_IDS),
				 errhint("Call the function several times.")));
	ids = palloc(sizeof(int64) * Max(given, 1));
	*count = aside_distinct_ids(array, ids);
	return ids;
}

/* An event, and its lease. */
typedef struct Held
{
	int64		lease;
	int64		event;
} Held;

static int
compare_held(const void *a, const void *b)
{
	const Held *left = a;
	const Held *right = b;

	if (left->lease != right->lease)
		return left->lease < right->lease ? -1 : 1;
	return left->event < right->event ? -1 : left->event > right->event;
}

/* By lease. An event that this session did not get has the lease that the coordinator says; that session may know it better. */
static Held *
find_leases(int64 handler, const int64 *ids, int count)
{
	Held	   *held = palloc(sizeof(Held) * Max(count, 1));
	int64	   *unknown = palloc(sizeof(int64) * Max(count, 1));
	int64	   *leases = palloc0(sizeof(int64) * Max(count, 1));
	int			nunknown = 0;

	for (int i = 0; i < count; i++)
	{
		held[i] = (Held) {.lease = recall(handler, ids[i]), .event = ids[i]};
		if (held[i].lease == 0)
			unknown[nunknown++] = ids[i];
	}
	if (nunknown > 0 && aside_find_leases(aside_get_caller_host(), aside_event_registry, MyDatabaseId, handler, unknown, nunknown, 0,
										  leases) != ASIDE_OK)
		aside_throw_kept();
	for (int i = 0, next = 0; i < count; i++)
	{
		if (held[i].lease == 0)
			held[i].lease = leases[next++];
		if (held[i].lease == 0)
			aside_refuse_lease(ids[i]);
	}
	qsort(held, count, sizeof(Held), compare_held);
	return held;
}

static Datum
say(FunctionCallInfo fcinfo, const char *function, const AsideLeaseWord *word)
{
	int			count;
	int64	   *ids = ids_argument(fcinfo, &count);
	AsideUser	before;
	int64		handler = begin_work(fcinfo, function, &before);
	Held	   *held = find_leases(handler, ids, count);

	/* In the order of their numbers, as everybody locks them. */
	for (int from = 0, to; from < count; from = to)
	{
		for (to = from; to < count && held[to].lease == held[from].lease; to++)
			ids[to] = held[to].event;
		aside_say_of_lease(handler, held[from].lease, ids + from, to - from, word);
	}
	end_work(before);
	PG_RETURN_INT64(count);
}

/* async_event_ack(name text, ids bigint[]) returns bigint */
Datum
aside_async_event_ack(PG_FUNCTION_ARGS)
{
	AsideLeaseWord word = {.kind = ASIDE_LETTER_DONE};

	return say(fcinfo, "async_event_ack()", &word);
}

/* async_event_nack(name text, ids bigint[], message text, delay interval) returns bigint */
Datum
aside_async_event_nack(PG_FUNCTION_ARGS)
{
	AsideLeaseWord word = {.kind = ASIDE_LETTER_GIVEN_BACK};

	word.message = PG_ARGISNULL(2) ? CStringGetTextDatum("the consumer gave the event back") : PG_GETARG_DATUM(2);
	if (!PG_ARGISNULL(3))
	{
		if (is_negative(fcinfo, 3))
			refuse_argument("delay", "zero or longer");
		word.next_at = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(GetCurrentTimestamp()),
															   PG_GETARG_DATUM(3)));
		if (TIMESTAMP_NOT_FINITE(word.next_at))
			refuse_argument("delay", "finite");
	}
	return say(fcinfo, "async_event_nack()", &word);
}

/* async_event_extend(name text, ids bigint[], lease interval) returns bigint */
Datum
aside_async_event_extend(PG_FUNCTION_ARGS)
{
	int			count;
	int64	   *ids = ids_argument(fcinfo, &count);
	int64		lease_us = lease_argument(fcinfo, 2);
	int64	   *leases = palloc0(sizeof(int64) * Max(count, 1));
	AsideUser	before;
	int64		handler = begin_work(fcinfo, "async_event_extend()", &before);

	/* All of them, or none. */
	for (int pass = 0; pass < 2 && count > 0; pass++)
	{
		if (aside_find_leases(aside_get_caller_host(), aside_event_registry, MyDatabaseId, handler, ids, count, pass == 0 ? 0 : lease_us,
							  leases) != ASIDE_OK)
			aside_throw_kept();
		for (int i = 0; i < count; i++)
			if (leases[i] == 0 || (recall(handler, ids[i]) != 0 && recall(handler, ids[i]) != leases[i]))
				aside_refuse_lease(ids[i]);
	}
	end_work(before);
	PG_RETURN_INT64(count);
}
