/*
 * schedules/record.c
 *	  A coordinator writes down what happens to schedules and their runs.
 */
#include "coordinator/work.h"
#include "events/events.h"
#include "schedules/schedules.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
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
	LOCKED_SCHEDULES,
	LOCKED_RUNS,
	STATEMENTS,
} Statement;

static const char *const statements[STATEMENTS] = {
	[FIRE] = "WITH s AS (UPDATE aside.schedule SET next_due = $6, next_run_at = $7, last_due = $3, fired = $8 "
	"WHERE id = $1 AND revision = $2 RETURNING id) "
	"INSERT INTO aside.schedule_run (id, attempt, schedule, due, missed, state, not_before, started, finished, message) "
	"SELECT nextval('aside.schedule_run_id'), 1, s.id, $3, $4, $5, $3, "
	"CASE $5 WHEN 'running' THEN clock_timestamp() END, CASE $5 WHEN 'skipped' THEN clock_timestamp() END, $9 FROM s RETURNING id",
	[MOVE] = "UPDATE aside.schedule SET next_due = $3, next_run_at = $4, last_due = $5 WHERE id = $1 AND revision = $2 RETURNING id",
	[BEGIN_RUN] = "UPDATE aside.schedule_run SET state = 'running', started = clock_timestamp() "
	"WHERE id = $1 AND attempt = $2 AND state = 'waiting' AND NOT cancel RETURNING id",
	[UNBEGIN] = "UPDATE aside.schedule_run SET state = 'waiting', started = NULL "
	"WHERE id = $1 AND attempt = $2 AND state = 'running' RETURNING id",
	[SHOW] = "UPDATE aside.schedule_run SET started = $3, pid = $4 WHERE id = $1 AND attempt = $2 AND state = 'running' RETURNING id",
	[END_RUN] = "UPDATE aside.schedule_run SET state = $3, started = coalesce($4, started), finished = coalesce($5, clock_timestamp()), "
	"pid = $6, rows = $7, command_tag = $8, sqlstate = $9, message = $10, detail = $11, hint = $12, context = $13, messages = $14 "
	"WHERE id = $1 AND attempt = $2 AND state IN ('waiting', 'running') RETURNING id",
	[COUNT_FAILURE] = "UPDATE aside.schedule SET failures = CASE WHEN $2 THEN failures + 1 ELSE 0 END "
	"WHERE id = $1 AND ($2 OR failures > 0) RETURNING name",
	[TELL] = "SELECT aside.schedule_tell_failed($1, $2)",
	[FORGET] = "DELETE FROM aside.schedule_run r USING aside.schedule s WHERE r.id = $1 AND s.id = r.schedule AND NOT r.manual "
	"AND (s.history = 'none' OR s.history = 'failures' AND $2)",
	[AGAIN] = "INSERT INTO aside.schedule_run (id, attempt, schedule, due, manual, state, not_before) "
	"SELECT id, $2, schedule, due, manual, 'waiting', $3 FROM aside.schedule_run WHERE id = $1 AND attempt = $2 - 1 "
	"ON CONFLICT DO NOTHING RETURNING id",
	[PRUNE] = "SELECT aside.schedule_runs_prune()",
	/* Locks those that nobody has locked. Of $1, those that somebody has. */
	[LOCKED_SCHEDULES] = "WITH free AS (SELECT id FROM aside.schedule WHERE id = ANY ($1) FOR NO KEY UPDATE SKIP LOCKED) "
	"SELECT id FROM aside.schedule WHERE id = ANY ($1) AND id NOT IN (SELECT id FROM free)",
	[LOCKED_RUNS] = "WITH free AS (SELECT id, attempt FROM aside.schedule_run WHERE id = ANY ($1) FOR UPDATE SKIP LOCKED) "
	"SELECT DISTINCT id FROM aside.schedule_run WHERE id = ANY ($1) AND (id, attempt) NOT IN (SELECT id, attempt FROM free)",
};

static int
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
	return code;
}

static Datum
time_or_null(int64_t at, char *null)
{
	*null = at == ASIDE_NO_TIME ? 'n' : ' ';
	return TimestampTzGetDatum(at);
}

/* The core may have cut the text in the middle of a character. */
static Datum
text_or_null(aside_bytes text, char *null)
{
	*null = text.data == NULL || text.len == 0 ? 'n' : ' ';
	if (*null == 'n')
		return (Datum) 0;
	text.len = pg_mbcliplen((const char *) text.data, text.len, text.len);
	return aside_bytes_datum(text);
}

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
	Oid			types[2] = {INT8OID, BOOLOID};
	Datum		values[2] = {Int64GetDatum(run), BoolGetDatum(done)};

	(void) run_statement(FORGET, 2, types, values, NULL);
}

/* The number of its run, or 0. */
static int64_t
write_fired(const aside_schedule_entry *entry)
{
	bool		skipped = entry->state == ASIDE_RUN_SKIPPED_OVERLAP || entry->state == ASIDE_RUN_SKIPPED_MISFIRE;
	int64_t		run;
	Oid			types[9] = {INT8OID, INT8OID, TIMESTAMPTZOID, INT4OID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, TEXTOID};
	char		nulls[10] = "         ";
	Datum		values[9];

	values[0] = Int64GetDatum(entry->schedule);
	values[1] = Int64GetDatum(entry->revision);
	values[2] = TimestampTzGetDatum(entry->due);
	values[3] = Int32GetDatum(entry->missed);
	values[4] = CStringGetTextDatum(states[entry->state]);
	values[5] = time_or_null(entry->next_due, &nulls[5]);
	values[6] = time_or_null(entry->next_at, &nulls[6]);
	values[7] = Int64GetDatum(entry->fired);
	if (entry->state == ASIDE_RUN_SKIPPED_OVERLAP)
		values[8] = CStringGetTextDatum("a run of this schedule had not ended");
	else if (entry->state == ASIDE_RUN_SKIPPED_MISFIRE)
		values[8] = CStringGetTextDatum("the run could not begin in time");
	else
		nulls[8] = 'n';
	(void) run_statement(FIRE, 9, types, values, nulls);
	run = SPI_processed == 1 ? aside_number_at(0, 1) : 0;
	if (skipped && run != 0)
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

/* The handlers of channel aside.failed hear of it, if there are any. */
static void
tell_failure(const aside_schedule_entry *entry)
{
	Oid			types[2] = {INT8OID, INT4OID};
	Datum		values[2] = {Int64GetDatum(entry->run), Int32GetDatum(entry->attempt)};
	bool		null;

	(void) run_statement(TELL, 2, types, values, NULL);
	if (SPI_processed > 0 && DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null)) > 0)
		aside_announce_events();
}

static void
write_ended(const aside_schedule_entry *entry)
{
	Oid			types[14] = {
		INT8OID, INT4OID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
		TEXTOID, TEXTOID
	};
	Oid			count_types[2] = {INT8OID, BOOLOID};
	char		nulls[15] = "              ";
	Datum		values[14];
	bool		done = entry->state == ASIDE_RUN_DONE;
	bool		failed = !done && entry->state != ASIDE_RUN_CANCELLED;

	values[0] = Int64GetDatum(entry->run);
	values[1] = Int32GetDatum(entry->attempt);
	values[2] = CStringGetTextDatum(states[entry->state]);
	values[3] = time_or_null(entry->started, &nulls[3]);
	values[4] = time_or_null(entry->finished, &nulls[4]);
	values[5] = Int32GetDatum(entry->pid);
	nulls[5] = entry->pid == 0 ? 'n' : ' ';
	values[6] = Int64GetDatum(entry->rows);
	nulls[6] = entry->rows < 0 ? 'n' : ' ';
	values[7] = text_or_null(entry->tag, &nulls[7]);
	values[8] = CStringGetTextDatum(unpack_sql_state(entry->sqlstate));
	nulls[8] = entry->sqlstate == 0 ? 'n' : ' ';
	values[9] = text_or_null(entry->message, &nulls[9]);
	values[10] = text_or_null(entry->detail, &nulls[10]);
	values[11] = text_or_null(entry->hint, &nulls[11]);
	values[12] = text_or_null(entry->context, &nulls[12]);
	values[13] = text_or_null(entry->messages, &nulls[13]);
	(void) run_statement(END_RUN, 14, types, values, nulls);
	if (!entry->last)
		return;
	if (done || failed)
	{
		values[0] = Int64GetDatum(entry->schedule);
		values[1] = BoolGetDatum(failed);
		(void) run_statement(COUNT_FAILURE, 2, count_types, values, NULL);
		if (failed && SPI_processed > 0)
		{
			log_failure(entry, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
			tell_failure(entry);
		}
	}
	forget_run(entry->run, done);
	SPI_processed = 1;
}

/* Writes an entry down. Returns the number of the entry's run, or 0 if nothing was written. */
static int64_t
write_entry(const aside_schedule_entry *entry)
{
	Oid			types[5] = {INT8OID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	char		nulls[6] = "     ";
	Datum		values[5];

	values[0] = Int64GetDatum(entry->run);
	values[1] = Int32GetDatum(entry->attempt);
	switch ((aside_schedule_entry_kind) entry->kind)
	{
		case ASIDE_SCHEDULE_FIRED:
			return write_fired(entry);
		case ASIDE_SCHEDULE_MOVED:
			types[1] = INT8OID;
			values[0] = Int64GetDatum(entry->schedule);
			values[1] = Int64GetDatum(entry->revision);
			values[2] = time_or_null(entry->next_due, &nulls[2]);
			values[3] = time_or_null(entry->next_at, &nulls[3]);
			values[4] = time_or_null(entry->last_due, &nulls[4]);
			(void) run_statement(MOVE, 5, types, values, nulls);
			break;
		case ASIDE_SCHEDULE_BEGUN:
			(void) run_statement(BEGIN_RUN, 2, types, values, NULL);
			break;
		case ASIDE_SCHEDULE_UNBEGUN:
			(void) run_statement(UNBEGIN, 2, types, values, NULL);
			break;
		case ASIDE_SCHEDULE_RUNS:
			types[3] = INT4OID;
			values[2] = TimestampTzGetDatum(entry->started);
			values[3] = Int32GetDatum(entry->pid);
			(void) run_statement(SHOW, 4, types, values, NULL);
			break;
		case ASIDE_SCHEDULE_ENDED:
			write_ended(entry);
			break;
		case ASIDE_SCHEDULE_AGAIN:
			values[2] = TimestampTzGetDatum(entry->not_before);
			(void) run_statement(AGAIN, 3, types, values, NULL);
			break;
	}
	return SPI_processed > 0 ? Max(entry->run, 1) : 0;
}

/* Which of these rows has somebody else locked? The others are locked for this transaction. */
static int64 *
find_locked(Statement which, const int64_t *ids, size_t count, uint64 *found)
{
	Oid			types[1] = {INT8ARRAYOID};
	Datum		values[1] = {aside_event_array(ids, count)};
	int64	   *locked;

	(void) run_statement(which, 1, types, values, NULL);
	*found = SPI_processed;
	locked = palloc(sizeof(int64) * (*found + 1));
	for (uint64 i = 0; i < *found; i++)
		locked[i] = aside_number_at(i, 1);
	return locked;
}

static bool
is_among(int64 id, const int64 *ids, uint64 count)
{
	for (uint64 i = 0; i < count; i++)
		if (ids[i] == id)
			return true;
	return false;
}

/* The schedule whose row this entry changes, or 0. */
static int64_t
schedule_of(const aside_schedule_entry *entry)
{
	bool		counts = entry->kind == ASIDE_SCHEDULE_FIRED || entry->kind == ASIDE_SCHEDULE_MOVED ||
		(entry->kind == ASIDE_SCHEDULE_ENDED && entry->last);

	return counts ? entry->schedule : 0;
}

/*
 * Writes down what can be written without a wait. A user's transaction that
 * has changed a schedule or a run may stay open for long.
 */
static void
write_entries(const aside_schedule_entry *entries, size_t count, int64_t *numbers)
{
	int64_t    *schedules = palloc(sizeof(int64_t) * count);
	int64_t    *runs = palloc(sizeof(int64_t) * count);
	uint64		nschedules;
	uint64		nruns;
	int64	   *locked_schedules;
	int64	   *locked_runs;

	for (size_t i = 0; i < count; i++)
	{
		schedules[i] = schedule_of(&entries[i]);
		runs[i] = entries[i].run;
	}
	locked_schedules = find_locked(LOCKED_SCHEDULES, schedules, count, &nschedules);
	locked_runs = find_locked(LOCKED_RUNS, runs, count, &nruns);
	for (size_t i = 0; i < count; i++)
		numbers[i] = is_among(schedules[i], locked_schedules, nschedules) || is_among(runs[i], locked_runs, nruns) ?
			ASIDE_ROW_LOCKED : write_entry(&entries[i]);
}

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
		write_entries(entries, count, numbers);
		if (now - pruned > PRUNE_EVERY_US || now < pruned)
		{
			(void) run_statement(PRUNE, 0, NULL, NULL, NULL);
			pruned = now;
		}
		aside_end_work();
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return status;
}
