/*
 * sql/job.c
 *	  The SQL functions of jobs in chunks. They call functions of the
 *	  extension, as those of schedules do (sql/schedule.c).
 */
#include "call/call.h"
#include "coordinator/coordinator.h"
#include "events/events.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(aside_parallel_forward);
PG_FUNCTION_INFO_V1(aside_parallel_wait);
PG_FUNCTION_INFO_V1(aside_jobs_changed);

/* The coordinator hears of the change when the transaction commits. */
Datum
aside_parallel_forward(PG_FUNCTION_ARGS)
{
	Datum		result = aside_forward(fcinfo, "jobs");

	aside_announce_changes(ASIDE_TOPIC_JOBS);
	return result;
}

/* aside.jobs_changed() returns trigger, of the table of jobs */
Datum
aside_jobs_changed(PG_FUNCTION_ARGS)
{
	aside_announce_changes(ASIDE_TOPIC_JOBS);
	return PointerGetDatum(NULL);
}

/* The answer of a function of one row that is asked on behalf of the caller. The newest snapshot says it. */
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
		elog(ERROR, "could not look for a job");
	answer = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null);
	PopActiveSnapshot();
	SPI_finish();
	aside_act_again(before);
	return answer;
}

static aside_status
look(int64_t job, bool *ended)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		*ended = DatumGetBool(ask("SELECT aside.parallel_ended($1, $2)", INT8OID, Int64GetDatum(job)));
	}
	ASIDE_END_TRY();
	return status;
}

static void
waiter_exits(int code, Datum arg)
{
	aside_run_wait_exit(aside_event_registry, MyProcPid);
}

/* parallel_wait(name text, timeout interval) returns boolean: has it ended? Its end wakes the caller as that of a run does. */
Datum
aside_parallel_wait(PG_FUNCTION_ARGS)
{
	static bool registered = false;
	aside_run_look at = {.abi_version = ASIDE_ABI_VERSION, .database = MyDatabaseId, .ended = look};
	bool		ended = false;
	int64		job;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("name of a job must not be null")));
	aside_check_ready("jobs");
	job = DatumGetInt64(ask("SELECT (aside.parallel_of($1, $2)).id", TEXTOID, PG_GETARG_DATUM(0)));
	if (!registered)
		before_shmem_exit(waiter_exits, (Datum) 0);
	registered = true;
	if (aside_run_wait(aside_get_caller_host(), aside_event_registry, &at, job, aside_patience(fcinfo, 1), &ended) != ASIDE_OK)
		aside_throw_kept();
	PG_RETURN_BOOL(ended);
}
