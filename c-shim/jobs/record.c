/*
 * jobs/record.c
 *	  A coordinator writes down what happens to jobs and their chunks.
 *
 * Nothing here must outlive a crash that what it leads to does not outlive: a
 * worker's commit comes after it in the WAL. So no commit waits for the disk.
 */
#include "definitions/tables.h"
#include "jobs/jobs.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"

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
	STATEMENTS,
} Statement;

static AsideStatement statements[STATEMENTS] = {
	[CUT] = {"UPDATE aside.parallel_job SET frontier = $3, cut = $4 "
	"WHERE id = $1 AND state = 'running' AND NOT cut AND frontier IS NOT DISTINCT FROM $2 RETURNING id"},
	/* Nobody else makes chunks. */
	[NEW_CHUNKS] = {"INSERT INTO aside.parallel_chunk (job, number, parent, low, high, estimate, failures, state) "
	"SELECT $1, coalesce((SELECT max(number) FROM aside.parallel_chunk WHERE job = $1), 0) + n.nth, $2, n.low, n.high, n.rows, n.failures, 'waiting' "
	"FROM unnest($3, $4, $5, $6) WITH ORDINALITY n (low, high, rows, failures, nth) RETURNING number"},
	[BEGIN_CHUNK] = {"UPDATE aside.parallel_chunk c SET state = 'running', attempt = $3, started = clock_timestamp(), finished = NULL, pid = NULL "
	"FROM aside.parallel_job j WHERE c.job = $1 AND c.number = $2 AND c.state = 'waiting' AND c.attempt = $3 - 1 "
	"AND j.id = c.job AND j.state = 'running' AND NOT j.paused RETURNING c.number"},
	[UNBEGIN] = {"UPDATE aside.parallel_chunk SET state = 'waiting', started = NULL "
	"WHERE job = $1 AND number = $2 AND attempt = $3 AND state = 'running' RETURNING number"},
	[END_CHUNK] = {"UPDATE aside.parallel_chunk SET state = $4, failures = $5, finished = coalesce($6, clock_timestamp()), pid = $7, "
	"sqlstate = $8, message = $9, detail = $10, hint = $11, context = $12 "
	"WHERE job = $1 AND number = $2 AND attempt = $3 AND state = 'running' RETURNING number"},
	[FAIL_JOB] = {"UPDATE aside.parallel_job SET state = 'failed', finished = clock_timestamp(), waits_for = NULL, "
	"sqlstate = $2, message = $3, detail = $4, hint = $5, context = $6 WHERE id = $1 AND state = 'running' RETURNING name"},
	[GIVE_UP] = {"UPDATE aside.parallel_chunk SET state = 'failed' WHERE job = $1 AND number = $2 AND state = 'waiting' RETURNING number"},
	[SPLIT] = {"UPDATE aside.parallel_chunk SET state = 'split' WHERE job = $1 AND number = $2 AND state = 'waiting' RETURNING number"},
	[WAIT] = {"UPDATE aside.parallel_job SET waits_for = $2 WHERE id = $1 RETURNING id"},
	[FINISH_JOB] = {"UPDATE aside.parallel_job j SET finished = clock_timestamp(), waits_for = NULL, cut = true, state = CASE "
	"WHEN EXISTS (SELECT FROM aside.parallel_chunk c WHERE c.job = $1 AND c.state = 'failed') THEN 'done_with_errors' ELSE 'done' END "
	"WHERE id = $1 AND state = 'running' AND NOT EXISTS (SELECT FROM aside.parallel_chunk c WHERE c.job = $1 AND c.state = 'waiting') "
	"AND NOT EXISTS (SELECT FROM aside.parallel_chunk c WHERE c.job = $1 AND c.state = 'running') RETURNING name, state"},
	[TELL] = {"SELECT aside.parallel_tell_failed($1)"},
};

/* The five fields of an error. */
static void
add_error(AsideParameters *to, const aside_job_entry *entry)
{
	bool		said = entry->sqlstate != 0;

	aside_add_string(to, unpack_sql_state(said ? entry->sqlstate : ERRCODE_CONNECTION_FAILURE));
	if (said)
		aside_add_said(to, entry->message);
	else
		aside_add_string(to, LOST);
	aside_add_said(to, entry->detail);
	aside_add_said(to, entry->hint);
	aside_add_said(to, entry->context);
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
static int64
write_chunks(const aside_job_entry *entry, bool has_parent)
{
	AsideParameters parameters = {0};
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
	aside_add_number(&parameters, entry->job);
	aside_add_number_or_null(&parameters, entry->number, !has_parent);
	aside_add_texts(&parameters, text_array(entry->cuts, entry->ncuts, false));
	aside_add_texts(&parameters, text_array(entry->cuts, entry->ncuts, true));
	aside_add_numbers(&parameters, rows, entry->ncuts);
	aside_add_numbers(&parameters, failures, entry->ncuts);
	aside_run_statement(&statements[NEW_CHUNKS], &parameters);
	return aside_number_at(0, 1);
}

static int64
write_cut(const aside_job_entry *entry, AsideParameters *job)
{
	aside_add_text(job, entry->from);
	aside_add_text(job, entry->frontier);
	aside_add_bool(job, entry->last);
	aside_run_statement(&statements[CUT], job);
	return SPI_processed == 0 ? 0 : write_chunks(entry, false);
}

static AsideParameters
job_of(const aside_job_entry *entry)
{
	AsideParameters job = {0};

	aside_add_number(&job, entry->job);
	return job;
}

static void
tell_failed(const aside_job_entry *entry)
{
	AsideParameters job = job_of(entry);

	aside_tell_failed(&statements[TELL], &job);
}

/* The job has failed. One line in the log. */
static int64
write_failure(const aside_job_entry *entry)
{
	AsideParameters job = job_of(entry);
	int			message = job.count + 1;

	add_error(&job, entry);
	aside_run_statement(&statements[FAIL_JOB], &job);
	if (SPI_processed == 0)
		return 0;
	ereport(LOG,
			(errcode(entry->sqlstate == 0 ? ERRCODE_CONNECTION_FAILURE : entry->sqlstate),
			 errmsg("job \"%s\" failed: %s", SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1),
					job.nulls[message] == 'n' ? "" : TextDatumGetCString(job.values[message]))));
	tell_failed(entry);
	return 1;
}

static int64
write_over(const aside_job_entry *entry, AsideParameters *job)
{
	aside_run_statement(&statements[FINISH_JOB], job);
	if (SPI_processed == 0)
		return 0;
	if (strcmp(SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2), "done") != 0)
	{
		ereport(LOG,
				(errmsg("job \"%s\" is done, with errors", SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1)),
				 errdetail("The view aside.parallel_chunks shows the chunks that have failed.")));
		tell_failed(entry);
	}
	return 1;
}

static int64
write_wait(const aside_job_entry *entry, AsideParameters *job)
{
	static const char *const waits[] = {
		[ASIDE_JOB_WAITS_NOT] = NULL,
		[ASIDE_JOB_WAITS_LAG] = "replication lag",
		[ASIDE_JOB_WAITS_SESSIONS] = "active sessions",
		[ASIDE_JOB_WAITS_WAL_RATE] = "WAL rate",
		[ASIDE_JOB_WAITS_LOAD] = "load",
		[ASIDE_JOB_WAITS_WINDOW] = "time window",
	};

	aside_add_string(job, waits[entry->fate]);
	aside_run_statement(&statements[WAIT], job);
	return SPI_processed > 0;
}

static int64
write_ended(const aside_job_entry *entry, AsideParameters *attempt)
{
	aside_add_string(attempt, entry->fate == ASIDE_CHUNK_WAITS ? "waiting" : "failed");
	aside_add_int(attempt, entry->failures);
	aside_add_time(attempt, entry->finished);
	aside_add_pid(attempt, entry->pid);
	add_error(attempt, entry);
	aside_run_statement(&statements[END_CHUNK], attempt);
	if (SPI_processed == 0)
		return 0;
	if (entry->fate == ASIDE_CHUNK_JOB_FAILED)
		(void) write_failure(entry);
	return 1;
}

/* What befalls a chunk: its job, its number, and of some statements the attempt. */
static int64
write_chunk(const aside_job_entry *entry, Statement statement, bool of_attempt)
{
	AsideParameters chunk = job_of(entry);

	aside_add_number(&chunk, entry->number);
	if (of_attempt)
		aside_add_int(&chunk, entry->attempt);
	if (statement == END_CHUNK)
		return write_ended(entry, &chunk);
	aside_run_statement(&statements[statement], &chunk);
	return SPI_processed > 0;
}

static int64
write_entry(const void *it)
{
	const aside_job_entry *entry = it;
	AsideParameters job = job_of(entry);

	switch ((aside_job_entry_kind) entry->kind)
	{
		case ASIDE_JOB_CUT:
			return write_cut(entry, &job);
		case ASIDE_JOB_BEGUN:
			return write_chunk(entry, BEGIN_CHUNK, true);
		case ASIDE_JOB_UNBEGUN:
			return write_chunk(entry, UNBEGIN, true);
		case ASIDE_JOB_ENDED:
			return write_chunk(entry, END_CHUNK, true);
		case ASIDE_JOB_GIVEN_UP:
			return write_chunk(entry, GIVE_UP, false);
		case ASIDE_JOB_SPLIT:
			return write_chunk(entry, SPLIT, false) == 0 ? 0 : write_chunks(entry, true);
		case ASIDE_JOB_WAITS:
			return write_wait(entry, &job);
		case ASIDE_JOB_OVER:
			return write_over(entry, &job);
		case ASIDE_JOB_BROKEN:
			return write_failure(entry);
	}
	return 0;
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

static AsideChanges
changes_of(const void *it)
{
	const aside_job_entry *entry = it;
	AsideChanges changes = {.definition = changes_job(entry) ? entry->job : 0};

	if (entry->number != 0)
	{
		changes.row[0] = entry->job;
		changes.row[1] = entry->number;
	}
	return changes;
}

static AsideRecorder recorder = {
	.size = sizeof(aside_job_entry),
	.lock_definitions = {ASIDE_LOCKED_DEFINITIONS("aside.parallel_job")},
	.lock_rows = {"WITH free AS (SELECT c.job, c.number FROM unnest($1, $2) w (job, number) "
	"JOIN aside.parallel_chunk c ON c.job = w.job AND c.number = w.number FOR NO KEY UPDATE OF c SKIP LOCKED) "
	"SELECT c.job, c.number FROM unnest($1, $2) w (job, number) JOIN aside.parallel_chunk c ON c.job = w.job AND c.number = w.number "
	"WHERE (c.job, c.number) NOT IN (SELECT job, number FROM free)"},
	.changes = changes_of,
	.write = write_entry,
};

/* Of each entry, the answer that aside_job_host says. */
aside_status
aside_record_jobs(const aside_job_entry *entries, size_t count, int64_t *numbers)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		aside_begin_work();
		(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
		aside_write_entries(&recorder, entries, count, numbers);
		aside_end_work();
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return status;
}
