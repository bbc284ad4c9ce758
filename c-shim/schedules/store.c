/*
 * schedules/store.c
 *	  A coordinator reads the tables of schedules, and writes down there what
 *	  happens to the runs.
 */
#include "coordinator/work.h"
#include "definitions/definition.h"
#include "events/events.h"
#include "schedules/schedules.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* Runs older than aside.history_retention are deleted this often, when something else is written. */
#define PRUNE_EVERY_US (10 * 60 * USECS_PER_SEC)

/* What is said of a run that ended without a word of its worker. */
#define LOST "the worker was lost"

#define US_OF(column) "least(extract(epoch FROM " column ") * 1000000, 1e17)::int8"

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
	FORGET,
	AGAIN,
	COMMAND,
	PRUNE,
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
	[FORGET] = "DELETE FROM aside.schedule_run r USING aside.schedule s WHERE r.id = $1 AND s.id = r.schedule AND NOT r.manual "
	"AND (s.history = 'none' OR s.history = 'failures' AND $2)",
	[AGAIN] = "INSERT INTO aside.schedule_run (id, attempt, schedule, due, manual, state, not_before) "
	"SELECT id, $2, schedule, due, manual, 'waiting', $3 FROM aside.schedule_run WHERE id = $1 AND attempt = $2 - 1 "
	"ON CONFLICT DO NOTHING RETURNING id",
	[COMMAND] = "SELECT s.command, " "coalesce(least(ceil(extract(epoch FROM s.timeout) * 1000), 2147483647), 0)::int8, s.database "
	"FROM aside.schedule_run r JOIN aside.schedule s ON s.id = r.schedule WHERE r.id = $1 LIMIT 1",
	[PRUNE] = "DELETE FROM aside.schedule_run WHERE finished < now() - current_setting('aside.history_retention')::interval",
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

static int64
number_or(int row, int number, int64 otherwise)
{
	bool		null;
	Datum		value = aside_value_at(row, number, &null);

	return null ? otherwise : DatumGetInt64(value);
}

static void
read_schedules(const aside_schedule **schedules, size_t *count)
{
	aside_schedule *all;

	aside_run_query("SELECT id, revision, rule, timezone, CASE overlap WHEN 'skip' THEN 0 WHEN 'queue' THEN 1 WHEN 'allow' THEN 2 ELSE 3 END::int8, "
					"CASE misfire WHEN 'once' THEN 0 WHEN 'skip' THEN 1 ELSE 2 END::int8, " US_OF("misfire_deadline") ", max_attempts::int8, "
					"priority::int8, " US_OF("backoff") ", " US_OF("coalesce(jitter, '0')") ", until, max_runs::int8, next_due, next_run_at, last_due, "
					"fired, paused::int::int8 FROM aside.schedule WHERE NOT inert ORDER BY id", 0, NULL, NULL, NULL, SPI_OK_SELECT);
	*count = SPI_processed;
	all = MemoryContextAllocExtended(aside_lent, sizeof(aside_schedule) * Max(*count, 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (size_t i = 0; i < *count; i++)
	{
		aside_schedule *schedule = &all[i];

		schedule->id = aside_number_at(i, 1);
		schedule->revision = aside_number_at(i, 2);
		schedule->rule = aside_lend_text(i, 3);
		schedule->zone = aside_lend_text(i, 4);
		schedule->overlap = aside_number_at(i, 5);
		schedule->misfire = aside_number_at(i, 6);
		schedule->deadline_us = number_or(i, 7, ASIDE_NO_TIME);
		schedule->max_attempts = aside_number_at(i, 8);
		schedule->priority = aside_number_at(i, 9);
		schedule->backoff_us = aside_number_at(i, 10);
		schedule->jitter_us = aside_number_at(i, 11);
		schedule->until = number_or(i, 12, ASIDE_NO_TIME);
		schedule->max_runs = number_or(i, 13, ASIDE_NO_TIME);
		schedule->next_due = number_or(i, 14, ASIDE_NO_TIME);
		schedule->next_at = number_or(i, 15, schedule->next_due);
		schedule->last_due = number_or(i, 16, ASIDE_NO_TIME);
		schedule->fired = aside_number_at(i, 17);
		schedule->paused = aside_number_at(i, 18);
	}
	*schedules = all;
}

static void
read_runs(const aside_schedule_run **runs, size_t *count)
{
	aside_schedule_run *all;

	aside_run_query("SELECT id, schedule, attempt::int8, manual::int::int8, (state = 'running')::int::int8, cancel::int::int8, due, not_before "
					"FROM aside.schedule_run WHERE state IN ('waiting', 'running') ORDER BY id, attempt", 0, NULL, NULL, NULL, SPI_OK_SELECT);
	*count = SPI_processed;
	all = MemoryContextAllocExtended(aside_lent, sizeof(aside_schedule_run) * Max(*count, 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (size_t i = 0; i < *count; i++)
	{
		all[i].id = aside_number_at(i, 1);
		all[i].schedule = aside_number_at(i, 2);
		all[i].attempt = aside_number_at(i, 3);
		all[i].manual = aside_number_at(i, 4);
		all[i].begun = aside_number_at(i, 5);
		all[i].to_cancel = aside_number_at(i, 6);
		all[i].due = aside_number_at(i, 7);
		all[i].not_before = aside_number_at(i, 8);
	}
	*runs = all;
}

static aside_status
store_load(const aside_schedule **schedules, size_t *nschedules, const aside_schedule_run **runs, size_t *nruns)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		aside_begin_work();
		aside_run_query("SELECT aside.schedules_settle()", 0, NULL, NULL, NULL, SPI_OK_SELECT);
		read_schedules(schedules, nschedules);
		read_runs(runs, nruns);
		aside_end_work();
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return status;
}

/* The answer is read anew each time: a command may change or drop a proxy without any change to the tables. */
static aside_status
store_standing(const int64_t *schedules, size_t count, aside_standing *out)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		Oid			types[1] = {INT8ARRAYOID};
		Datum		values[1];

		aside_begin_work();
		values[0] = aside_event_array(schedules, count);
		memset(out, 0, sizeof(aside_standing) * count);
		aside_run_query("SELECT w.place, s.id, s.name FROM unnest($1) WITH ORDINALITY w (id, place) JOIN aside.schedule s ON s.id = w.id "
						"WHERE NOT s.inert", 1, types, values, NULL, SPI_OK_SELECT);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			aside_standing *standing = &out[aside_number_at(i, 1) - 1];
			AsideDefinition definition = {
				.kind = "schedule",
				.id = aside_number_at(i, 2),
				.name = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 3),
			};

			standing->owner = aside_definition_owner(&definition);
			if (!OidIsValid(standing->owner))
				continue;
			standing->superuser = aside_is_superuser(standing->owner);
			standing->state = aside_definition_obstacle(standing->owner) == NULL ? ASIDE_DEFINITION_ACTS : ASIDE_DEFINITION_WAITS;
		}
		aside_end_work();
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return status;
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
			log_failure(entry, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
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

static aside_status
store_record(const aside_schedule_entry *entries, size_t count, int64_t *numbers)
{
	static TimestampTz pruned = 0;
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		TimestampTz now = GetCurrentTimestamp();

		aside_begin_work();
		for (size_t i = 0; i < count; i++)
			numbers[i] = write_entry(&entries[i]);
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

static aside_status
store_command(int64_t run, aside_schedule_command *command)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		Oid			types[1] = {INT8OID};
		Datum		values[1] = {Int64GetDatum(run)};

		aside_begin_work();
		(void) run_statement(COMMAND, 1, types, values, NULL);
		memset(command, 0, sizeof(*command));
		if (SPI_processed == 1)
		{
			char	   *database = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3);

			command->text = aside_lend_text(0, 1);
			command->timeout_ms = aside_number_at(0, 2);
			command->database = database == NULL ? MyDatabaseId : get_database_oid(database, true);
		}
		aside_end_work();
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return status;
}

static int64_t
store_started(void)
{
	return PgStartTime;
}

const aside_schedule_host *
aside_get_schedule_host(void)
{
	static aside_schedule_host host = {
		.abi_version = ASIDE_ABI_VERSION,
		.started = store_started,
		.zone = aside_schedule_zone,
		.load = store_load,
		.standing = store_standing,
		.record = store_record,
		.command = store_command,
	};

	host.rules = aside_rules_of_zone(NULL);
	return &host;
}
