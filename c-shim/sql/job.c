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
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

PG_FUNCTION_INFO_V1(aside_parallel_forward);
PG_FUNCTION_INFO_V1(aside_parallel_wait);
PG_FUNCTION_INFO_V1(aside_jobs_changed);

/* A caller that waits for a job looks again after this time. Each further look comes after twice the time. */
#define FIRST_LOOK_MS 2
#define LONGEST_LOOK_MS 50

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

/* Has this job ended? The newest snapshot says so. */
static bool
has_ended(Datum name)
{
	Oid			types[2] = {OIDOID, TEXTOID};
	Datum		values[2] = {ObjectIdGetDatum(GetUserId()), name};
	AsideUser	before = aside_act_as(aside_events_owner());
	bool		null;
	bool		ended;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	PushActiveSnapshot(GetLatestSnapshot());
	if (SPI_execute_with_args("SELECT aside.parallel_ended($1, $2)", 2, types, values, NULL, true, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not look for a job");
	ended = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null));
	PopActiveSnapshot();
	SPI_finish();
	aside_act_again(before);
	return ended && !null;
}

/* parallel_wait(name text, timeout interval) returns boolean: has it ended? */
Datum
aside_parallel_wait(PG_FUNCTION_ARGS)
{
	TimestampTz until = DT_NOEND;
	long		look = FIRST_LOOK_MS;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("name of a job must not be null")));
	aside_check_ready("jobs");
	if (!PG_ARGISNULL(1))
		until = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(GetCurrentTimestamp()),
														PG_GETARG_DATUM(1)));
	while (!has_ended(PG_GETARG_DATUM(0)))
	{
		if (GetCurrentTimestamp() >= until)
			PG_RETURN_BOOL(false);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, look, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		look = Min(look * 2, LONGEST_LOOK_MS);
	}
	PG_RETURN_BOOL(true);
}
