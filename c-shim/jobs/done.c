/*
 * jobs/done.c
 *	  A worker records that a chunk is done, in the transaction of the command.
 *
 * The search_path is the owner's, so the query names each object and each
 * operator with its schema.
 */
#include "events/handler.h"
#include "jobs/jobs.h"
#include "worker/worker.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"

#define EQUALS " OPERATOR(pg_catalog.=) "

/* An attempt that was taken for lost has another number by now. */
static const char *const done =
"UPDATE aside.parallel_chunk c SET state = 'done', finished = pg_catalog.clock_timestamp(), pid = pg_catalog.pg_backend_pid(), rows = $4, "
"sqlstate = NULL, message = NULL, detail = NULL, hint = NULL, context = NULL "
"FROM aside.parallel_job j WHERE c.job" EQUALS "$1 AND c.number" EQUALS "$2 AND c.attempt" EQUALS "$3 AND c.state" EQUALS "'running' "
"AND j.id" EQUALS "c.job RETURNING j.chunk_by" EQUALS "'ctid', j.state" EQUALS "'cancelled', j.xmin";

static const char *const known = "SELECT FROM aside.parallel_job j WHERE j.id" EQUALS "$1";

/* Nothing was recorded. If the job was dropped by somebody else, nobody reads the error. */
static void
refuse_record(const aside_chunk_attempt *its)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(its->job)};

	aside_execute_by_place(&plan, known, 1, types, values);
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the command of a job cannot drop its job"),
				 errhint("The command may end the job with parallel_cancel.")));
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("chunk %lld of job %lld is not for this attempt any more", (long long) its->number, (long long) its->job),
			 errdetail("The job was cancelled, or another attempt has begun.")));
}

/* A column of the record that was written. */
static Datum
recorded(int number)
{
	bool		null;

	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, number, &null);
}

aside_status
aside_host_record_chunk(aside_bytes attempt, uint64_t processed)
{
	static SPIPlanPtr plan = NULL;
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		MemoryContext old = MemoryContextSwitchTo(aside_request_context);
		Oid			types[4] = {INT8OID, INT8OID, INT4OID, INT8OID};
		Datum		values[4];
		aside_chunk_attempt its;
		AsideUser	before;
		bool		wrote = TransactionIdIsValid(GetTopTransactionIdIfAny());
		bool		read_only = XactReadOnly;

		if (attempt.len != sizeof(its))
			elog(ERROR, "request for a chunk makes no sense");
		memcpy(&its, attempt.data, sizeof(its));
		values[0] = Int64GetDatum(its.job);
		values[1] = Int64GetDatum(its.number);
		values[2] = Int32GetDatum(its.attempt);
		values[3] = Int64GetDatum(processed);
		PushActiveSnapshot(GetTransactionSnapshot());
		before = aside_act_as(aside_events_owner());
		/* What the command, or its owner's settings, have said of the transaction holds for the command. */
		XactReadOnly = false;
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "could not connect to SPI");
		aside_execute_by_place(&plan, done, 4, types, values);
		/* What was cancelled commits nothing more, but for a command that has done so itself. */
		if (SPI_processed != 1 ||
			(DatumGetBool(recorded(2)) && !TransactionIdIsCurrentTransactionId(DatumGetTransactionId(recorded(3)))))
			refuse_record(&its);
		if (wrote && DatumGetBool(recorded(1)))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("the command of a job that is split by ctid can only read"),
					 errdetail("What it calls has written. A row that is updated has another ctid from then on, so it could be done twice, or not at all."),
					 errhint("Split by a key, or by a query.")));
		SPI_finish();
		XactReadOnly = read_only;
		aside_act_again(before);
		PopActiveSnapshot();
		MemoryContextSwitchTo(old);
	}
	ASIDE_END_TRY();
	return status;
}
