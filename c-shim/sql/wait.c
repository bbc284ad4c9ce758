/*
 * sql/wait.c
 *	  async_event_wait() and schedule_wait(). A caller sleeps until the
 *	  coordinator has written down an end, and then looks at the tables.
 */
#include "call/call.h"
#include "coordinator/coordinator.h"
#include "events/events.h"
#include "module/module.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(aside_async_event_wait);
PG_FUNCTION_INFO_V1(aside_schedule_wait);

/* Has it ended? The newest snapshot says so. */
static bool
has_ended(const char *query, int64 id)
{
	Oid			types[2] = {OIDOID, INT8OID};
	Datum		values[2] = {ObjectIdGetDatum(GetUserId()), Int64GetDatum(id)};
	AsideUser	before = aside_act_as(aside_events_owner());
	bool		null;
	bool		ended;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	PushActiveSnapshot(GetLatestSnapshot());
	if (SPI_execute_with_args(query, 2, types, values, NULL, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not run \"%s\"", query);
	ended = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null));
	PopActiveSnapshot();
	SPI_finish();
	aside_act_again(before);
	return ended && !null;
}

static aside_status
look(const char *query, int64_t id, bool *ended)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		*ended = has_ended(query, id);
	}
	ASIDE_END_TRY();
	return status;
}

static aside_status
event_ended(int64_t id, bool *ended)
{
	return look("SELECT aside.event_ended($1, $2)", id, ended);
}

static aside_status
run_ended(int64_t id, bool *ended)
{
	return look("SELECT aside.schedule_run_ended($1, $2)", id, ended);
}

static void
waiter_exits(int code, Datum arg)
{
	aside_run_wait_exit(aside_event_registry, MyProcPid);
}

static Datum
wait_for(FunctionCallInfo fcinfo, const char *topic, const char *null_message, aside_status (*ended_by) (int64_t, bool *))
{
	static bool registered = false;
	aside_run_look at = {.abi_version = ASIDE_ABI_VERSION, .database = MyDatabaseId, .ended = ended_by};
	bool		ended = false;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s", null_message)));
	aside_check_ready(topic);
	if (!registered)
		before_shmem_exit(waiter_exits, (Datum) 0);
	registered = true;
	if (aside_run_wait(aside_get_caller_host(), aside_event_registry, &at, PG_GETARG_INT64(0), aside_patience(fcinfo, 1), &ended) != ASIDE_OK)
		aside_throw_kept();
	PG_RETURN_BOOL(ended);
}

/* async_event_wait(id bigint, timeout interval) returns boolean: has it ended, for all of its handlers? */
Datum
aside_async_event_wait(PG_FUNCTION_ARGS)
{
	return wait_for(fcinfo, "events", "event id must not be null", event_ended);
}

/* schedule_wait(run bigint, timeout interval) returns boolean: has it ended? */
Datum
aside_schedule_wait(PG_FUNCTION_ARGS)
{
	return wait_for(fcinfo, "schedules", "run of a schedule must not be null", run_ended);
}
