/*
 * jobs/store.c
 *	  A coordinator reads the tables of jobs.
 */
#include "coordinator/work.h"
#include "definitions/definition.h"
#include "events/events.h"
#include "jobs/jobs.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"

/* So many chunks of a job that wait are read at a time. */
#define MOST_WAITING "1000"

#define LIMIT(name) "(j.limits->>'" name "')::int8"

static int64
limit_at(int row, int number)
{
	bool		null;
	Datum		value = aside_value_at(row, number, &null);

	return null ? ASIDE_NO_TIME : DatumGetInt64(value);
}

static void
read_parts(aside_job *job, int row, int number)
{
	bool		null;
	Datum		value = aside_value_at(row, number, &null);
	aside_bytes *parts;
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	if (null)
		return;
	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	parts = MemoryContextAllocZero(aside_lent, sizeof(aside_bytes) * Max(count, 1));
	for (int i = 0; i < count; i++)
		parts[i] = nulls[i] ? parts[i] : aside_lend_datum(elements[i]);
	job->parts = parts;
	job->nparts = count;
}

static void
read_jobs(const aside_job **jobs, size_t *count)
{
	aside_job  *all;

	aside_run_query("SELECT j.id, j.command, j.split, coalesce(to_regtype(j.low_type), 0)::oid::int8, coalesce(to_regtype(j.high_type), 0)::oid::int8, "
					"j.frontier, coalesce(j.chunk_rows, 0)::int8, j.workers::int8, j.max_attempts::int8, " LIMIT("lag_us") ", " LIMIT("lag_bytes") ", "
					LIMIT("sessions") ", " LIMIT("wal_rate") ", " LIMIT("load_milli") ", " LIMIT("window_from") ", " LIMIT("window_to") ", "
					"j.follow::int::int8, j.paused::int::int8, (j.state <> 'running')::int::int8, (j.state = 'cancelled')::int::int8, j.cut::int::int8, "
					"((SELECT count(*) FROM (SELECT FROM aside.parallel_chunk c WHERE c.job = j.id AND c.state = 'waiting' LIMIT " MOST_WAITING " + 1) few) "
					"> " MOST_WAITING ")::int::int8, "
					"CASE j.waits_for WHEN 'replication lag' THEN 1 WHEN 'active sessions' THEN 2 WHEN 'WAL rate' THEN 3 WHEN 'load' THEN 4 "
					"WHEN 'time window' THEN 5 ELSE 0 END::int8 "
					"FROM aside.parallel_job j WHERE NOT j.inert AND (j.state = 'running' OR "
					"EXISTS (SELECT FROM aside.parallel_chunk c WHERE c.job = j.id AND c.state = 'running')) ORDER BY j.id",
					0, NULL, NULL, NULL, SPI_OK_SELECT);
	*count = SPI_processed;
	all = MemoryContextAllocExtended(aside_lent, sizeof(aside_job) * Max(*count, 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (size_t i = 0; i < *count; i++)
	{
		aside_job  *job = &all[i];

		job->id = aside_number_at(i, 1);
		job->command = aside_lend_text(i, 2);
		read_parts(job, i, 3);
		job->low_type = aside_number_at(i, 4);
		job->high_type = aside_number_at(i, 5);
		job->frontier = aside_lend_text(i, 6);
		job->chunk_rows = aside_number_at(i, 7);
		job->workers = aside_number_at(i, 8);
		job->max_attempts = aside_number_at(i, 9);
		job->lag_us = limit_at(i, 10);
		job->lag_bytes = limit_at(i, 11);
		job->sessions = limit_at(i, 12);
		job->wal_rate = limit_at(i, 13);
		job->load_milli = limit_at(i, 14);
		job->window_from = limit_at(i, 15);
		job->window_to = limit_at(i, 16);
		job->follow = aside_number_at(i, 17);
		job->paused = aside_number_at(i, 18);
		job->ended = aside_number_at(i, 19);
		job->to_cancel = aside_number_at(i, 20);
		job->cut = aside_number_at(i, 21);
		job->more = aside_number_at(i, 22);
		job->waits_for = aside_number_at(i, 23);
	}
	*jobs = all;
}

static void
read_chunks(const aside_chunk **chunks, size_t *count)
{
	aside_chunk *all;

	aside_run_query("SELECT c.job, c.number, c.low, c.high, coalesce(c.estimate, 0), c.attempt::int8, c.failures::int8, (c.state = 'running')::int::int8 "
					"FROM aside.parallel_job j, LATERAL ((SELECT * FROM aside.parallel_chunk r WHERE r.job = j.id AND r.state = 'running') UNION ALL "
					"(SELECT * FROM aside.parallel_chunk w WHERE w.job = j.id AND w.state = 'waiting' AND j.state = 'running' ORDER BY w.number "
					"LIMIT " MOST_WAITING ")) c WHERE NOT j.inert", 0, NULL, NULL, NULL, SPI_OK_SELECT);
	*count = SPI_processed;
	all = MemoryContextAllocExtended(aside_lent, sizeof(aside_chunk) * Max(*count, 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (size_t i = 0; i < *count; i++)
	{
		all[i].job = aside_number_at(i, 1);
		all[i].number = aside_number_at(i, 2);
		all[i].low = aside_lend_text(i, 3);
		all[i].high = aside_lend_text(i, 4);
		all[i].rows = aside_number_at(i, 5);
		all[i].attempt = aside_number_at(i, 6);
		all[i].failures = aside_number_at(i, 7);
		all[i].begun = aside_number_at(i, 8);
	}
	*chunks = all;
}

static aside_status
store_load(const aside_job **jobs, size_t *njobs, const aside_chunk **chunks, size_t *nchunks)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		aside_begin_work();
		aside_run_query("SELECT aside.parallel_settle()", 0, NULL, NULL, NULL, SPI_OK_SELECT);
		read_jobs(jobs, njobs);
		read_chunks(chunks, nchunks);
		aside_end_work();
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return status;
}

/* The answer is read anew each time: a command may change or drop a proxy without any change to the tables. */
static aside_status
store_standing(const int64_t *jobs, size_t count, aside_standing *out)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		Oid			types[1] = {INT8ARRAYOID};
		Datum		values[1];

		aside_begin_work();
		values[0] = aside_event_array(jobs, count);
		memset(out, 0, sizeof(aside_standing) * count);
		aside_run_query("SELECT w.place, j.id, j.name FROM unnest($1) WITH ORDINALITY w (id, place) JOIN aside.parallel_job j ON j.id = w.id "
						"WHERE NOT j.inert", 1, types, values, NULL, SPI_OK_SELECT);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			aside_standing *standing = &out[aside_number_at(i, 1) - 1];
			AsideDefinition definition = {
				.kind = "job",
				.id = aside_number_at(i, 2),
				.name = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 3),
			};

			aside_fill_standing(&definition, standing);
		}
		aside_end_work();
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return status;
}

/* The worker has sent the row as the executor's minimal tuple. */
static aside_status
store_row(aside_bytes sent, aside_bytes *columns, size_t ncolumns)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		MemoryContext old = MemoryContextSwitchTo(aside_lent);
		MinimalTuple row;
		HeapTupleData tuple;
		TupleDesc	desc;
		Datum		values[MaxTupleAttributeNumber];
		bool		nulls[MaxTupleAttributeNumber];
		int			count;

		MemoryContextReset(aside_lent);
		row = palloc(sent.len);
		memcpy(row, sent.data, sent.len);
		count = row->t_infomask2 & HEAP_NATTS_MASK;
		desc = CreateTemplateTupleDesc(count);
		for (int i = 1; i <= count; i++)
			TupleDescInitBuiltinEntry(desc, i, "bound", TEXTOID, -1, 0);
		TupleDescFinalize(desc);
		tuple.t_len = row->t_len + MINIMAL_TUPLE_OFFSET;
		tuple.t_data = (HeapTupleHeader) ((char *) row - MINIMAL_TUPLE_OFFSET);
		heap_deform_tuple(&tuple, desc, values, nulls);
		memset(columns, 0, sizeof(aside_bytes) * ncolumns);
		for (int i = 0; i < count && i < ncolumns; i++)
			if (!nulls[i])
				columns[i] = aside_lend_datum(values[i]);
		MemoryContextSwitchTo(old);
	}
	ASIDE_END_TRY();
	return status;
}

const aside_job_host *
aside_get_job_host(void)
{
	static const aside_job_host host = {
		.abi_version = ASIDE_ABI_VERSION,
		.load = store_load,
		.standing = store_standing,
		.record = aside_record_jobs,
		.measure = aside_measure_jobs,
		.row = store_row,
	};

	return &host;
}
