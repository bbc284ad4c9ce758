/*
 * jobs/store.c
 *	  A coordinator reads the tables of jobs.
 */
#include "definitions/tables.h"
#include "jobs/jobs.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"

/* So many chunks of a job that wait are read at a time. */
#define MOST_WAITING "1000"

#define LIMIT(name) "(j.limits->>'" name "')::int8"

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
fill_job(void *out, int row)
{
	aside_job  *job = out;

	job->id = aside_number_at(row, 1);
	job->command = aside_lend_text(row, 2);
	read_parts(job, row, 3);
	job->low_type = aside_number_at(row, 4);
	job->high_type = aside_number_at(row, 5);
	job->frontier = aside_lend_text(row, 6);
	job->chunk_rows = aside_number_at(row, 7);
	job->workers = aside_number_at(row, 8);
	job->max_attempts = aside_number_at(row, 9);
	job->lag_us = aside_number_or(row, 10, ASIDE_NO_TIME);
	job->lag_bytes = aside_number_or(row, 11, ASIDE_NO_TIME);
	job->sessions = aside_number_or(row, 12, ASIDE_NO_TIME);
	job->wal_rate = aside_number_or(row, 13, ASIDE_NO_TIME);
	job->load_milli = aside_number_or(row, 14, ASIDE_NO_TIME);
	job->window_from = aside_number_or(row, 15, ASIDE_NO_TIME);
	job->window_to = aside_number_or(row, 16, ASIDE_NO_TIME);
	job->follow = aside_number_at(row, 17);
	job->paused = aside_number_at(row, 18);
	job->ended = aside_number_at(row, 19);
	job->to_cancel = aside_number_at(row, 20);
	job->cut = aside_number_at(row, 21);
	job->more = aside_number_at(row, 22);
	job->waits_for = aside_number_at(row, 23);
	job->failed = Min(aside_number_at(row, 24), UINT32_MAX);
}

static const AsideRead read_jobs = {
	.size = sizeof(aside_job),
	.fill = fill_job,
	.query = "SELECT j.id, j.command, j.split, coalesce(to_regtype(j.low_type), 0)::oid::int8, coalesce(to_regtype(j.high_type), 0)::oid::int8, "
	"j.frontier, coalesce(j.chunk_rows, 0)::int8, j.workers::int8, j.max_attempts::int8, " LIMIT("lag_us") ", " LIMIT("lag_bytes") ", "
	LIMIT("sessions") ", " LIMIT("wal_rate") ", " LIMIT("load_milli") ", " LIMIT("window_from") ", " LIMIT("window_to") ", "
	"j.follow::int::int8, j.paused::int::int8, (j.state <> 'running')::int::int8, (j.state = 'cancelled')::int::int8, j.cut::int::int8, "
	"((SELECT count(*) FROM (SELECT FROM aside.parallel_chunk c WHERE c.job = j.id AND c.state = 'waiting' LIMIT " MOST_WAITING " + 1) few) "
	"> " MOST_WAITING ")::int::int8, "
	"CASE j.waits_for WHEN 'replication lag' THEN 1 WHEN 'active sessions' THEN 2 WHEN 'WAL rate' THEN 3 WHEN 'load' THEN 4 "
	"WHEN 'time window' THEN 5 ELSE 0 END::int8, "
	"(SELECT count(*) FROM aside.parallel_chunk c WHERE c.job = j.id AND c.state = 'failed') "
	"FROM aside.parallel_job j WHERE NOT j.inert AND (j.state = 'running' OR "
	"EXISTS (SELECT FROM aside.parallel_chunk c WHERE c.job = j.id AND c.state = 'running')) ORDER BY j.id",
};

static void
fill_chunk(void *out, int row)
{
	aside_chunk *chunk = out;

	chunk->job = aside_number_at(row, 1);
	chunk->number = aside_number_at(row, 2);
	chunk->low = aside_lend_text(row, 3);
	chunk->high = aside_lend_text(row, 4);
	chunk->rows = aside_number_at(row, 5);
	chunk->attempt = aside_number_at(row, 6);
	chunk->failures = aside_number_at(row, 7);
	chunk->begun = aside_number_at(row, 8);
}

static const AsideRead read_chunks = {
	.size = sizeof(aside_chunk),
	.fill = fill_chunk,
	.query = "SELECT c.job, c.number, c.low, c.high, coalesce(c.estimate, 0), c.attempt::int8, c.failures::int8, (c.state = 'running')::int::int8 "
	"FROM aside.parallel_job j, LATERAL ((SELECT * FROM aside.parallel_chunk r WHERE r.job = j.id AND r.state = 'running') UNION ALL "
	"(SELECT * FROM aside.parallel_chunk w WHERE w.job = j.id AND w.state = 'waiting' AND j.state = 'running' ORDER BY w.number "
	"LIMIT " MOST_WAITING ")) c WHERE NOT j.inert",
};

static aside_status
store_load(const aside_job **jobs, size_t *njobs, const aside_chunk **chunks, size_t *nchunks)
{
	return aside_load_definitions("SELECT aside.parallel_settle()", &read_jobs, (const void **) jobs, njobs,
								  &read_chunks, (const void **) chunks, nchunks);
}

static aside_status
store_standing(const int64_t *jobs, size_t count, aside_standing *out)
{
	static AsideStatement named = {.text = ASIDE_NAMED_DEFINITIONS("aside.parallel_job")};

	return aside_read_standing("job", &named, jobs, count, out);
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
