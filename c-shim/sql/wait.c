/*
 * sql/wait.c
 *	  async_event_wait(), schedule_wait() and parallel_wait(). A caller sleeps
 *	  until the coordinator has written down an end, and then looks at the
 *	  tables.
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
PG_FUNCTION_INFO_V1(aside_parallel_wait);

/* The answer of a function that is asked on behalf of the caller. The newest snapshot says it. */
static Datum
ask(const char *query, Oid type, Datum value)
{
	Oid			types[2] = {OIDOID, type};
	Datum		values[2] = {ObjectIdGetDatum(GetUserId()), value};
	AsideUser	before = aside_act_as(aside_events_owner());
	bool		null;
	Datum		answer;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	PushActiveSnapshot(GetLatestSnapshot());
	if (SPI_execute_with_args(query, 2, types, values, NULL, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not run \"%s\"", query);
	answer = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null);
	PopActiveSnapshot();
	SPI_finish();
	aside_act_again(before);
	return null ? (Datum) 0 : answer;
}

static aside_status
look(const char *query, int64_t id, bool *ended)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		*ended = DatumGetBool(ask(query, INT8OID, Int64GetDatum(id)));
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

static aside_status
job_ended(int64_t id, bool *ended)
{
	return look("SELECT aside.parallel_ended($1, $2)", id, ended);
}

static void
waiter_exits(int code, Datum arg)
{
	aside_run_wait_exit(aside_event_registry, MyProcPid);
}

static void
check_argument(FunctionCallInfo fcinfo, const char *what, const char *null_message)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s", null_message)));
	aside_check_ready(what);
}

static Datum
wait_for(FunctionCallInfo fcinfo, int64 id, aside_status (*ended_by) (int64_t, bool *))
{
	static bool registered = false;
	aside_run_look at = {.abi_version = ASIDE_ABI_VERSION, .database = MyDatabaseId, .ended = ended_by};
	bool		ended = false;

	if (!registered)
		before_shmem_exit(waiter_exits, (Datum) 0);
	registered = true;
	if (aside_run_wait(aside_get_caller_host(), aside_event_registry, &at, id, aside_patience(fcinfo, 1), &ended) != ASIDE_OK)
		aside_throw_kept();
	PG_RETURN_BOOL(ended);
}

/* async_event_wait(id bigint, timeout interval) returns boolean: has it ended, for all of its handlers? */
Datum
aside_async_event_wait(PG_FUNCTION_ARGS)
{
	check_argument(fcinfo, "events", "event id must not be null");
	return wait_for(fcinfo, PG_GETARG_INT64(0), event_ended);
}

/* schedule_wait(run bigint, timeout interval) returns boolean: has it ended? */
Datum
aside_schedule_wait(PG_FUNCTION_ARGS)
{
	check_argument(fcinfo, "schedules", "run of a schedule must not be null");
	return wait_for(fcinfo, PG_GETARG_INT64(0), run_ended);
}

/* parallel_wait(name text, timeout interval) returns boolean: has it ended? */
Datum
aside_parallel_wait(PG_FUNCTION_ARGS)
{
	check_argument(fcinfo, "jobs", "name of a job must not be null");
	return wait_for(fcinfo, DatumGetInt64(ask("SELECT aside.definition_named($1, 'job', $2)", TEXTOID, PG_GETARG_DATUM(0))), job_ended);
}
