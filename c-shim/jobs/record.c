/*
 * jobs/record.c
 *	  A coordinator writes down what happens to jobs and their chunks.
 *
 * Nothing here must outlive a crash that what it leads to does not outlive: a
 * worker's commit comes after it in the WAL. So no commit waits for the disk.
 */
#include "coordinator/work.h"
#include "events/events.h"
#include "jobs/jobs.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#define LOST "the worker was lost"

/* The statements that write entries down. Each is prepared once. */
typedef enum Statement
{
	CUT,
	NEW_CHUNKS,
	BEGIN_CHUNK,
	UNBEGIN,
	END_CHUNK,
	FAIL_JOB,
	GIVE_UP,
	SPLIT,
	WAIT,
	FINISH_JOB,
	TELL,
	LOCKED_JOBS,
	LOCKED_CHUNKS,
	STATEMENTS,
} Statement;

static const char *const statements[STATEMENTS] = {
	[CUT] = "UPDATE aside.parallel_job SET frontier = $3, cut = $4 "
	"WHERE id = $1 AND state = 'running' AND NOT cut AND frontier IS NOT DISTINCT FROM $2 RETURNING id",
	/* Nobody else makes chunks. */
	[NEW_CHUNKS] = "INSERT INTO aside.parallel_chunk (job, number, parent, low, high, estimate, failures, state) "
	"SELECT $1, coalesce((SELECT max(number) FROM aside.parallel_chunk WHERE job = $1), 0) + n.nth, $2, n.low, n.high, n.rows, n.failures, 'waiting' "
	"FROM unnest($3, $4, $5, $6) WITH ORDINALITY n (low, high, rows, failures, nth) RETURNING number",
	[BEGIN_CHUNK] = "UPDATE aside.parallel_chunk c SET state = 'running', attempt = $3, started = clock_timestamp(), finished = NULL, pid = NULL "
	"FROM aside.parallel_job j WHERE c.job = $1 AND c.number = $2 AND c.state = 'waiting' AND c.attempt = $3 - 1 "
	"AND j.id = c.job AND j.state = 'running' AND NOT j.paused RETURNING c.number",
	[UNBEGIN] = "UPDATE aside.parallel_chunk SET state = 'waiting', started = NULL "
	"WHERE job = $1 AND number = $2 AND attempt = $3 AND state = 'running' RETURNING number",
	[END_CHUNK] = "UPDATE aside.parallel_chunk SET state = $4, failures = $5, finished = coalesce($6, clock_timestamp()), pid = $7, "
	"sqlstate = $8, message = $9, detail = $10, hint = $11, context = $12 "
	"WHERE job = $1 AND number = $2 AND attempt = $3 AND state = 'running' RETURNING number",
	[FAIL_JOB] = "UPDATE aside.parallel_job SET state = 'failed', finished = clock_timestamp(), waits_for = NULL, "
	"sqlstate = $2, message = $3, detail = $4, hint = $5, context = $6 WHERE id = $1 AND state = 'running' RETURNING name",
	[GIVE_UP] = "UPDATE aside.parallel_chunk SET state = 'failed' WHERE job = $1 AND number = $2 AND state = 'waiting' RETURNING number",
	[SPLIT] = "UPDATE aside.parallel_chunk SET state = 'split' WHERE job = $1 AND number = $2 AND state = 'waiting' RETURNING number",
	[WAIT] = "UPDATE aside.parallel_job SET waits_for = $2 WHERE id = $1 RETURNING id",
	[FINISH_JOB] = "UPDATE aside.parallel_job j SET finished = clock_timestamp(), waits_for = NULL, cut = true, state = CASE "
	"WHEN EXISTS (SELECT FROM aside.parallel_chunk c WHERE c.job = $1 AND c.state = 'failed') THEN 'done_with_errors' ELSE 'done' END "
	"WHERE id = $1 AND state = 'running' AND NOT EXISTS (SELECT FROM aside.parallel_chunk c WHERE c.job = $1 AND c.state = 'waiting') "
	"AND NOT EXISTS (SELECT FROM aside.parallel_chunk c WHERE c.job = $1 AND c.state = 'running') RETURNING name, state",
	[TELL] = "SELECT aside.parallel_tell_failed($1)",
	/* Locks those that nobody has locked. Of those that are given, those that somebody has. */
	[LOCKED_JOBS] = "WITH free AS (SELECT id FROM aside.parallel_job WHERE id = ANY ($1) FOR NO KEY UPDATE SKIP LOCKED) "
	"SELECT id FROM aside.parallel_job WHERE id = ANY ($1) AND id NOT IN (SELECT id FROM free)",
	[LOCKED_CHUNKS] = "WITH free AS (SELECT c.job, c.number FROM unnest($1, $2) w (job, number) "
	"JOIN aside.parallel_chunk c ON c.job = w.job AND c.number = w.number FOR NO KEY UPDATE OF c SKIP LOCKED) "
	"SELECT c.job, c.number FROM unnest($1, $2) w (job, number) JOIN aside.parallel_chunk c ON c.job = w.job AND c.number = w.number "
	"WHERE (c.job, c.number) NOT IN (SELECT job, number FROM free)",
};

static void
run_statement(Statement which, int nargs, Oid *types, Datum *values, const char *nulls)
{
	static SPIPlanPtr plans[STATEMENTS];
	int			code;

	if (plans[which] == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(statements[which], nargs, types);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare \"%s\": %s", statements[which], SPI_result_code_string(SPI_result));
		plans[which] = plan;
	}
	code = SPI_execute_plan(plans[which], values, nulls, false, 0);
	if (code < 0)
		elog(ERROR, "could not run \"%s\": %s", statements[which], SPI_result_code_string(code));
}

static Datum
text_or_null(aside_bytes text, char *null)
{
	*null = text.data == NULL ? 'n' : ' ';
	return *null == 'n' ? (Datum) 0 : aside_bytes_datum(text);
}

/* What a worker has said. The core may have cut the text in the middle of a character. */
static Datum
said_or_null(aside_bytes text, char *null)
{
	if (text.len == 0)
		text.data = NULL;
	else
		text.len = pg_mbcliplen((const char *) text.data, text.len, text.len);
	return text_or_null(text, null);
}

/* The five fields of an error. */
static void
fill_error(const aside_job_entry *entry, Datum *values, char *nulls)
{
	bool		said = entry->sqlstate != 0;

	values[0] = CStringGetTextDatum(unpack_sql_state(said ? entry->sqlstate : ERRCODE_CONNECTION_FAILURE));
	values[1] = said ? said_or_null(entry->message, &nulls[1]) : CStringGetTextDatum(LOST);
	values[2] = said_or_null(entry->detail, &nulls[2]);
	values[3] = said_or_null(entry->hint, &nulls[3]);
	values[4] = said_or_null(entry->context, &nulls[4]);
}

static Datum
text_array(const aside_chunk_cut *cuts, size_t count, bool high)
{
	Datum	   *elements = palloc(sizeof(Datum) * count);
	bool	   *nulls = palloc(sizeof(bool) * count);
	int			length = count;
	int			lower = 1;

	for (size_t i = 0; i < count; i++)
	{
		aside_bytes bound = high ? cuts[i].high : cuts[i].low;

		nulls[i] = bound.data == NULL;
		elements[i] = nulls[i] ? (Datum) 0 : aside_bytes_datum(bound);
	}
	return PointerGetDatum(construct_md_array(elements, nulls, 1, &length, &lower, TEXTOID, -1, false, TYPALIGN_INT));
}

/* The number of the first of them. */
static int64_t
write_chunks(const aside_job_entry *entry, bool has_parent)
{
	Oid			types[6] = {INT8OID, INT8OID, TEXTARRAYOID, TEXTARRAYOID, INT8ARRAYOID, INT8ARRAYOID};
	char		nulls[7] = "      ";
	Datum		values[6];
	int64_t    *rows;
	int64_t    *failures;

	if (entry->ncuts == 0)
		return 1;
	rows = palloc(sizeof(int64_t) * entry->ncuts);
	failures = palloc(sizeof(int64_t) * entry->ncuts);
	for (size_t i = 0; i < entry->ncuts; i++)
	{
		rows[i] = entry->cuts[i].rows;
		failures[i] = entry->cuts[i].failures;
	}
	values[0] = Int64GetDatum(entry->job);
	values[1] = Int64GetDatum(entry->number);
	nulls[1] = has_parent ? ' ' : 'n';
	values[2] = text_array(entry->cuts, entry->ncuts, false);
	values[3] = text_array(entry->cuts, entry->ncuts, true);
	values[4] = aside_event_array(rows, entry->ncuts);
	values[5] = aside_event_array(failures, entry->ncuts);
	run_statement(NEW_CHUNKS, 6, types, values, nulls);
	return aside_number_at(0, 1);
}

static int64_t
write_cut(const aside_job_entry *entry)
{
	Oid			types[4] = {INT8OID, TEXTOID, TEXTOID, BOOLOID};
	char		nulls[5] = "    ";
	Datum		values[4];

	values[0] = Int64GetDatum(entry->job);
	values[1] = text_or_null(entry->from, &nulls[1]);
	values[2] = text_or_null(entry->frontier, &nulls[2]);
	values[3] = BoolGetDatum(entry->last);
	run_statement(CUT, 4, types, values, nulls);
	return SPI_processed == 0 ? 0 : write_chunks(entry, false);
}

/* Whoever handles what fails for good hears of the job. */
static void
tell_failed(int64_t job)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(job)};

	run_statement(TELL, 1, types, values, NULL);
}

/* The job has failed. One line in the log. */
static int64_t
write_failure(const aside_job_entry *entry)
{
	Oid			types[6] = {INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	char		nulls[7] = "      ";
	Datum		values[6];

	values[0] = Int64GetDatum(entry->job);
	fill_error(entry, values + 1, nulls + 1);
	run_statement(FAIL_JOB, 6, types, values, nulls);
	if (SPI_processed == 0)
		return 0;
	ereport(LOG,
			(errcode(entry->sqlstate == 0 ? ERRCODE_CONNECTION_FAILURE : entry->sqlstate),
			 errmsg("job \"%s\" failed: %s", SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1),
					nulls[2] == 'n' ? "" : TextDatumGetCString(values[2]))));
	tell_failed(entry->job);
	return 1;
}

static int64_t
write_ended(const aside_job_entry *entry)
{
	Oid			types[12] = {
		INT8OID, INT8OID, INT4OID, TEXTOID, INT4OID, TIMESTAMPTZOID, INT4OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID
	};
	char		nulls[13] = "            ";
	Datum		values[12];

	values[0] = Int64GetDatum(entry->job);
	values[1] = Int64GetDatum(entry->number);
	values[2] = Int32GetDatum(entry->attempt);
	values[3] = CStringGetTextDatum(entry->fate == ASIDE_CHUNK_WAITS ? "waiting" : "failed");
	values[4] = Int32GetDatum(entry->failures);
	values[5] = TimestampTzGetDatum(entry->finished);
	nulls[5] = entry->finished == ASIDE_NO_TIME ? 'n' : ' ';
	values[6] = Int32GetDatum(entry->pid);
	nulls[6] = entry->pid == 0 ? 'n' : ' ';
	fill_error(entry, values + 7, nulls + 7);
	run_statement(END_CHUNK, 12, types, values, nulls);
	if (SPI_processed == 0)
		return 0;
	if (entry->fate == ASIDE_CHUNK_JOB_FAILED)
		(void) write_failure(entry);
	return 1;
}

static int64_t
write_over(const aside_job_entry *entry)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(entry->job)};

	run_statement(FINISH_JOB, 1, types, values, NULL);
	if (SPI_processed == 0)
		return 0;
	if (strcmp(SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2), "done") != 0)
	{
		ereport(LOG,
				(errmsg("job \"%s\" is done, with errors", SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1)),
				 errdetail("The view aside.parallel_chunks shows the chunks that have failed.")));
		tell_failed(entry->job);
	}
	return 1;
}

static int64_t
write_entry(const aside_job_entry *entry)
{
	static const char *const waits[] = {
		[ASIDE_JOB_WAITS_LAG] = "replication lag",
		[ASIDE_JOB_WAITS_SESSIONS] = "active sessions",
		[ASIDE_JOB_WAITS_WAL_RATE] = "WAL rate",
		[ASIDE_JOB_WAITS_LOAD] = "load",
		[ASIDE_JOB_WAITS_WINDOW] = "time window",
	};
	Oid			types[3] = {INT8OID, INT8OID, INT4OID};
	char		nulls[4] = "   ";
	Datum		values[3];

	values[0] = Int64GetDatum(entry->job);
	values[1] = Int64GetDatum(entry->number);
	values[2] = Int32GetDatum(entry->attempt);
	switch ((aside_job_entry_kind) entry->kind)
	{
		case ASIDE_JOB_CUT:
			return write_cut(entry);
		case ASIDE_JOB_BEGUN:
			run_statement(BEGIN_CHUNK, 3, types, values, NULL);
			break;
		case ASIDE_JOB_UNBEGUN:
			run_statement(UNBEGIN, 3, types, values, NULL);
			break;
		case ASIDE_JOB_ENDED:
			return write_ended(entry);
		case ASIDE_JOB_GIVEN_UP:
			run_statement(GIVE_UP, 2, types, values, NULL);
			break;
		case ASIDE_JOB_SPLIT:
			run_statement(SPLIT, 2, types, values, NULL);
			return SPI_processed == 0 ? 0 : write_chunks(entry, true);
		case ASIDE_JOB_WAITS:
			types[1] = TEXTOID;
			nulls[1] = entry->fate == ASIDE_JOB_WAITS_NOT ? 'n' : ' ';
			values[1] = entry->fate == ASIDE_JOB_WAITS_NOT ? (Datum) 0 : CStringGetTextDatum(waits[entry->fate]);
			run_statement(WAIT, 2, types, values, nulls);
			break;
		case ASIDE_JOB_OVER:
			return write_over(entry);
		case ASIDE_JOB_BROKEN:
			return write_failure(entry);
	}
	return SPI_processed > 0 ? 1 : 0;
}

/* Does this entry change the row of its job? */
static bool
changes_job(const aside_job_entry *entry)
{
	switch ((aside_job_entry_kind) entry->kind)
	{
		case ASIDE_JOB_CUT:
		case ASIDE_JOB_WAITS:
		case ASIDE_JOB_OVER:
		case ASIDE_JOB_BROKEN:
			return true;
		case ASIDE_JOB_ENDED:
			return entry->fate == ASIDE_CHUNK_JOB_FAILED;
		default:
			return false;
	}
}

/* Of the rows of an answer: is this one of them? */
static bool
is_among(const int64_t (*rows)[2], uint64 count, int64_t job, int64_t number)
{
	for (uint64 i = 0; i < count; i++)
		if (rows[i][0] == job && rows[i][1] == number)
			return true;
	return false;
}

/* Which of these rows has somebody else locked? The others are locked for this transaction. */
static int64_t (*
find_locked(Statement which, const int64_t *jobs, const int64_t *numbers, size_t count, uint64 *found))[2]
{
	Oid			types[2] = {INT8ARRAYOID, INT8ARRAYOID};
	Datum		values[2] = {aside_event_array(jobs, count), aside_event_array(numbers, count)};
	int64_t		(*locked)[2];

	run_statement(which, which == LOCKED_JOBS ? 1 : 2, types, values, NULL);
	*found = SPI_processed;
	locked = palloc(sizeof(*locked) * (*found + 1));
	for (uint64 i = 0; i < *found; i++)
	{
		locked[i][0] = aside_number_at(i, 1);
		locked[i][1] = which == LOCKED_JOBS ? 0 : aside_number_at(i, 2);
	}
	return locked;
}

/*
 * Writes down what can be written without a wait. A user's transaction that
 * has changed a job may stay open for long, and so may the worker of a chunk
 * that was taken for lost.
 */
static void
write_entries(const aside_job_entry *entries, size_t count, int64_t *numbers)
{
	int64_t    *jobs = palloc(sizeof(int64_t) * count);
	int64_t    *of_chunks = palloc(sizeof(int64_t) * count);
	int64_t    *chunks = palloc(sizeof(int64_t) * count);
	size_t		njobs = 0;
	size_t		nchunks = 0;
	uint64		nlocked_jobs = 0;
	uint64		nlocked_chunks = 0;
	int64_t		(*locked_jobs)[2] = NULL;
	int64_t		(*locked_chunks)[2] = NULL;

	for (size_t i = 0; i < count; i++)
	{
		if (changes_job(&entries[i]))
			jobs[njobs++] = entries[i].job;
		if (entries[i].number != 0)
		{
			of_chunks[nchunks] = entries[i].job;
			chunks[nchunks++] = entries[i].number;
		}
	}
	if (njobs > 0)
		locked_jobs = find_locked(LOCKED_JOBS, jobs, jobs, njobs, &nlocked_jobs);
	if (nchunks > 0)
		locked_chunks = find_locked(LOCKED_CHUNKS, of_chunks, chunks, nchunks, &nlocked_chunks);
	for (size_t i = 0; i < count; i++)
	{
		bool		locked = (changes_job(&entries[i]) && is_among(locked_jobs, nlocked_jobs, entries[i].job, 0)) ||
			is_among(locked_chunks, nlocked_chunks, entries[i].job, entries[i].number);

		numbers[i] = locked ? ASIDE_ROW_LOCKED : write_entry(&entries[i]);
	}
}

/* Of each entry, the answer that aside_job_host says. */
aside_status
aside_record_jobs(const aside_job_entry *entries, size_t count, int64_t *numbers)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		aside_begin_work();
		(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
		write_entries(entries, count, numbers);
		aside_end_work();
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return status;
}
