/*
 * schedules/record.c
 *	  A coordinator writes down what happens to schedules and their runs.
 */
#include "definitions/tables.h"
#include "schedules/schedules.h"

#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* Runs older than aside.history_retention are deleted this often, when something else is written. */
#define PRUNE_EVERY_US (10 * 60 * USECS_PER_SEC)

/* What is said of a run that ended without a word of its worker. */
#define LOST "the worker was lost"

/* The statements that write entries down. Each is prepared once. */
typedef enum Statement
{
	FIRE,
	MOVE,
	BEGIN_RUN,
	UNBEGIN,
	SHOW,
	END_RUN,
	COUNT_FAILURE,
	TELL,
	FORGET,
	AGAIN,
	PRUNE,
	STATEMENTS,
} Statement;

static AsideStatement statements[STATEMENTS] = {
	[FIRE] = {"WITH s AS (UPDATE aside.schedule SET next_due = $6, next_run_at = $7, last_due = $3, fired = $8, "
	"missed = missed + $4, skipped = skipped + ($5 = 'skipped')::int "
	"WHERE id = $1 AND revision = $2 RETURNING id) "
	"INSERT INTO aside.schedule_run (id, attempt, schedule, due, missed, state, not_before, started, finished, message) "
	"SELECT nextval('aside.schedule_run_id'), 1, s.id, $3, $4, $5, $3, "
	"CASE $5 WHEN 'running' THEN clock_timestamp() END, CASE $5 WHEN 'skipped' THEN clock_timestamp() END, $9 FROM s RETURNING id"},
	[MOVE] = {"UPDATE aside.schedule SET next_due = $3, next_run_at = $4, last_due = $5 WHERE id = $1 AND revision = $2 RETURNING id"},
	[BEGIN_RUN] = {"UPDATE aside.schedule_run SET state = 'running', started = clock_timestamp() "
	"WHERE id = $1 AND attempt = $2 AND state = 'waiting' AND NOT cancel RETURNING id"},
	[UNBEGIN] = {"UPDATE aside.schedule_run SET state = 'waiting', started = NULL "
	"WHERE id = $1 AND attempt = $2 AND state = 'running' RETURNING id"},
	[SHOW] = {"UPDATE aside.schedule_run SET started = $3, pid = $4 WHERE id = $1 AND attempt = $2 AND state = 'running' RETURNING id"},
	[END_RUN] = {"UPDATE aside.schedule_run SET state = $3, started = coalesce($4, started), finished = coalesce($5, clock_timestamp()), "
	"pid = $6, rows = $7, command_tag = $8, sqlstate = $9, message = $10, detail = $11, hint = $12, context = $13, messages = $14 "
	"WHERE id = $1 AND attempt = $2 AND state IN ('waiting', 'running') RETURNING id"},
	[COUNT_FAILURE] = {"UPDATE aside.schedule SET failures = CASE WHEN $2 THEN failures + 1 ELSE 0 END, failed = failed + $2::int "
	"WHERE id = $1 AND ($2 OR failures > 0) RETURNING name"},
	[TELL] = {"SELECT aside.schedule_tell_failed($1, $2)"},
	[FORGET] = {"DELETE FROM aside.schedule_run r USING aside.schedule s WHERE r.id = $1 AND s.id = r.schedule AND NOT r.manual "
	"AND (s.history = 'none' OR s.history = 'failures' AND $2)"},
	[AGAIN] = {"INSERT INTO aside.schedule_run (id, attempt, schedule, due, manual, state, not_before) "
	"SELECT id, $2, schedule, due, manual, 'waiting', $3 FROM aside.schedule_run WHERE id = $1 AND attempt = $2 - 1 "
	"ON CONFLICT DO NOTHING RETURNING id"},
	[PRUNE] = {"SELECT aside.schedule_runs_prune()"},
};

static const char *const states[] = {
	[ASIDE_RUN_WAITING] = "waiting",
	[ASIDE_RUN_RUNNING] = "running",
	[ASIDE_RUN_DONE] = "done",
	[ASIDE_RUN_FAILED] = "failed",
	[ASIDE_RUN_SKIPPED_OVERLAP] = "skipped",
	[ASIDE_RUN_SKIPPED_MISFIRE] = "skipped",
	[ASIDE_RUN_CANCELLED] = "cancelled",
	[ASIDE_RUN_TIMED_OUT] = "timed_out",
	[ASIDE_RUN_LOST] = "lost",
};

/* What has ended is kept as far as the history of its schedule goes. */
static void
forget_run(int64_t run, bool done)
{
	AsideParameters parameters = {0};

	aside_add_number(&parameters, run);
	aside_add_bool(&parameters, done);
	aside_run_statement(&statements[FORGET], &parameters);
}

static const char *
why_skipped(uint32_t state)
{
	if (state == ASIDE_RUN_SKIPPED_OVERLAP)
		return "a run of this schedule had not ended";
	return state == ASIDE_RUN_SKIPPED_MISFIRE ? "the run could not begin in time" : NULL;
}

/* The number of its run, or 0. */
static int64
write_fired(const aside_schedule_entry *entry)
{
	AsideParameters parameters = {0};
	int64		run;

	aside_add_number(&parameters, entry->schedule);
	aside_add_number(&parameters, entry->revision);
	aside_add_time(&parameters, entry->due);
	aside_add_int(&parameters, entry->missed);
	aside_add_string(&parameters, states[entry->state]);
	aside_add_time(&parameters, entry->next_due);
	aside_add_time(&parameters, entry->next_at);
	aside_add_number(&parameters, entry->fired);
	aside_add_string(&parameters, why_skipped(entry->state));
	aside_run_statement(&statements[FIRE], &parameters);
	run = SPI_processed == 1 ? aside_number_at(0, 1) : 0;
	if (run != 0 && why_skipped(entry->state) != NULL)
		forget_run(run, false);
	return run;
}

/* One line in the log for a run that has failed and is not tried again. */
static void
log_failure(const aside_schedule_entry *entry, const char *name)
{
	ereport(LOG,
			(errcode(entry->sqlstate == 0 ? ERRCODE_CONNECTION_FAILURE : entry->sqlstate),
			 errmsg("schedule \"%s\" failed in attempt %u of run %lld: %.*s", name, entry->attempt, (long long) entry->run,
					entry->message.len == 0 ? (int) strlen(LOST) : (int) entry->message.len,
					entry->message.len == 0 ? LOST : (const char *) entry->message.data)));
}

/* The last attempt of a run has ended. */
static void
write_outcome(const aside_schedule_entry *entry)
{
	bool		failed = entry->state != ASIDE_RUN_DONE && entry->state != ASIDE_RUN_CANCELLED;
	AsideParameters counted = {0};
	AsideParameters told = {0};

	if (entry->state != ASIDE_RUN_CANCELLED)
	{
		aside_add_number(&counted, entry->schedule);
		aside_add_bool(&counted, failed);
		aside_run_statement(&statements[COUNT_FAILURE], &counted);
		if (failed && SPI_processed > 0)
		{
			log_failure(entry, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
			aside_add_number(&told, entry->run);
			aside_add_int(&told, entry->attempt);
			aside_tell_failed(&statements[TELL], &told);
		}
	}
	forget_run(entry->run, entry->state == ASIDE_RUN_DONE);
}

static int64
write_ended(const aside_schedule_entry *entry, AsideParameters *attempt)
{
	aside_add_string(attempt, states[entry->state]);
	aside_add_time(attempt, entry->started);
	aside_add_time(attempt, entry->finished);
	aside_add_pid(attempt, entry->pid);
	aside_add_number_or_null(attempt, entry->rows, entry->rows < 0);
	aside_add_said(attempt, entry->tag);
	aside_add_string(attempt, entry->sqlstate == 0 ? NULL : unpack_sql_state(entry->sqlstate));
	aside_add_said(attempt, entry->message);
	aside_add_said(attempt, entry->detail);
	aside_add_said(attempt, entry->hint);
	aside_add_said(attempt, entry->context);
	aside_add_said(attempt, entry->messages);
	aside_run_statement(&statements[END_RUN], attempt);
	if (!entry->last)
		return SPI_processed;
	write_outcome(entry);
	return 1;
}

static int64
write_move(const aside_schedule_entry *entry)
{
	AsideParameters parameters = {0};

	aside_add_number(&parameters, entry->schedule);
	aside_add_number(&parameters, entry->revision);
	aside_add_time(&parameters, entry->next_due);
	aside_add_time(&parameters, entry->next_at);
	aside_add_time(&parameters, entry->last_due);
	aside_run_statement(&statements[MOVE], &parameters);
	return SPI_processed;
}

/* Writes down an entry that is of an attempt of a run. Returns how many rows that has changed. */
static int64
write_attempt(const aside_schedule_entry *entry)
{
	static const Statement plain[] = {
		[ASIDE_SCHEDULE_BEGUN] = BEGIN_RUN,
		[ASIDE_SCHEDULE_UNBEGUN] = UNBEGIN,
		[ASIDE_SCHEDULE_RUNS] = SHOW,
		[ASIDE_SCHEDULE_AGAIN] = AGAIN,
	};
	AsideParameters attempt = {0};

	aside_add_number(&attempt, entry->run);
	aside_add_int(&attempt, entry->attempt);
	if (entry->kind == ASIDE_SCHEDULE_ENDED)
		return write_ended(entry, &attempt);
	if (entry->kind == ASIDE_SCHEDULE_RUNS)
	{
		aside_add_time(&attempt, entry->started);
		aside_add_int(&attempt, entry->pid);
	}
	if (entry->kind == ASIDE_SCHEDULE_AGAIN)
		aside_add_time(&attempt, entry->not_before);
	aside_run_statement(&statements[plain[entry->kind]], &attempt);
	return SPI_processed;
}

/* Returns the number of the entry's run, or 0 if nothing was written. */
static int64
write_entry(const void *it)
{
	const aside_schedule_entry *entry = it;
	int64		written;

	if (entry->kind == ASIDE_SCHEDULE_FIRED)
		return write_fired(entry);
	written = entry->kind == ASIDE_SCHEDULE_MOVED ? write_move(entry) : write_attempt(entry);
	return written > 0 ? Max(entry->run, 1) : 0;
}

static AsideChanges
changes_of(const void *it)
{
	const aside_schedule_entry *entry = it;
	bool		counts = entry->kind == ASIDE_SCHEDULE_FIRED || entry->kind == ASIDE_SCHEDULE_MOVED ||
		(entry->kind == ASIDE_SCHEDULE_ENDED && entry->last);

	return (AsideChanges) {.definition = counts ? entry->schedule : 0, .row = {entry->run}};
}

/* All attempts of a run are locked. */
static AsideRecorder recorder = {
	.size = sizeof(aside_schedule_entry),
	.lock_definitions = {ASIDE_LOCKED_DEFINITIONS("aside.schedule")},
	.lock_rows = {"WITH free AS (SELECT id, attempt FROM aside.schedule_run WHERE id = ANY ($1) AND $2 IS NOT NULL FOR UPDATE SKIP LOCKED) "
	"SELECT DISTINCT id, 0::int8 FROM aside.schedule_run WHERE id = ANY ($1) AND (id, attempt) NOT IN (SELECT id, attempt FROM free)"},
	.changes = changes_of,
	.write = write_entry,
};

/* Of each entry, the answer that aside_schedule_host says. */
aside_status
aside_record_schedules(const aside_schedule_entry *entries, size_t count, int64_t *numbers)
{
	static TimestampTz pruned = 0;
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		TimestampTz now = GetCurrentTimestamp();

		aside_begin_work();
		aside_write_entries(&recorder, entries, count, numbers);
		if (now - pruned > PRUNE_EVERY_US || now < pruned)
		{
			AsideParameters none = {0};

			aside_run_statement(&statements[PRUNE], &none);
			pruned = now;
		}
		aside_end_work();
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return status;
}
