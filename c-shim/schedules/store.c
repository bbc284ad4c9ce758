/*
 * schedules/store.c
 *	  A coordinator reads the tables of schedules.
 */
#include "call/call.h"
#include "definitions/tables.h"
#include "schedules/schedules.h"

#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#define US_OF(column) "least(extract(epoch FROM " column ") * 1000000, 1e17)::int8"

static void
fill_schedule(void *out, int row)
{
	aside_schedule *schedule = out;

	schedule->id = aside_number_at(row, 1);
	schedule->revision = aside_number_at(row, 2);
	schedule->rule = aside_lend_text(row, 3);
	schedule->zone = aside_lend_text(row, 4);
	schedule->overlap = aside_number_at(row, 5);
	schedule->misfire = aside_number_at(row, 6);
	schedule->deadline_us = aside_number_or(row, 7, ASIDE_NO_TIME);
	schedule->max_attempts = aside_number_at(row, 8);
	schedule->priority = aside_number_at(row, 9);
	schedule->backoff_us = aside_number_at(row, 10);
	schedule->jitter_us = aside_number_at(row, 11);
	schedule->until = aside_number_or(row, 12, ASIDE_NO_TIME);
	schedule->max_runs = aside_number_or(row, 13, ASIDE_NO_TIME);
	schedule->next_due = aside_number_or(row, 14, ASIDE_NO_TIME);
	schedule->next_at = aside_number_or(row, 15, schedule->next_due);
	schedule->last_due = aside_number_or(row, 16, ASIDE_NO_TIME);
	schedule->fired = aside_number_at(row, 17);
	schedule->paused = aside_number_at(row, 18);
}

static const AsideRead read_schedules = {
	.size = sizeof(aside_schedule),
	.fill = fill_schedule,
	.query = "SELECT id, revision, rule, timezone, CASE overlap WHEN 'skip' THEN 0 WHEN 'queue' THEN 1 WHEN 'allow' THEN 2 ELSE 3 END::int8, "
	"CASE misfire WHEN 'once' THEN 0 WHEN 'skip' THEN 1 ELSE 2 END::int8, " US_OF("misfire_deadline") ", max_attempts::int8, "
	"priority::int8, " US_OF("backoff") ", " US_OF("coalesce(jitter, '0')") ", until, max_runs::int8, next_due, next_run_at, last_due, "
	"fired, paused::int::int8 FROM aside.schedule WHERE NOT inert ORDER BY id",
};

static void
fill_run(void *out, int row)
{
	aside_schedule_run *run = out;

	run->id = aside_number_at(row, 1);
	run->schedule = aside_number_at(row, 2);
	run->attempt = aside_number_at(row, 3);
	run->manual = aside_number_at(row, 4);
	run->begun = aside_number_at(row, 5);
	run->to_cancel = aside_number_at(row, 6);
	run->due = aside_number_at(row, 7);
	run->not_before = aside_number_at(row, 8);
}

static const AsideRead read_runs = {
	.size = sizeof(aside_schedule_run),
	.fill = fill_run,
	.query = "SELECT id, schedule, attempt::int8, manual::int::int8, (state = 'running')::int::int8, cancel::int::int8, due, not_before "
	"FROM aside.schedule_run WHERE state IN ('waiting', 'running') ORDER BY id, attempt",
};

static aside_status
store_load(const aside_schedule **schedules, size_t *nschedules, const aside_schedule_run **runs, size_t *nruns)
{
	return aside_load_definitions("SELECT aside.schedules_settle()", &read_schedules, (const void **) schedules, nschedules,
								  &read_runs, (const void **) runs, nruns);
}

static aside_status
store_standing(const int64_t *schedules, size_t count, aside_standing *out)
{
	static AsideStatement named = {.text = ASIDE_NAMED_DEFINITIONS("aside.schedule")};

	return aside_read_standing("schedule", &named, schedules, count, out);
}

static aside_bytes
lend_string(const char *text)
{
	aside_bytes lent = {NULL, 0};

	if (text != NULL)
	{
		lent.len = strlen(text);
		lent.data = (const uint8_t *) MemoryContextStrdup(aside_lent, text);
	}
	return lent;
}

/* The other database of a command, or why the command may not run there. */
static void
find_database(const char *name, aside_schedule_command *command)
{
	AsideDefinition definition = {
		.kind = "schedule",
		.id = aside_number_at(0, 4),
		.name = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 5),
	};
	AsideRefusal refusal;

	command->database = get_database_oid(name, true);
	refusal = aside_refuse_target(command->database, name, aside_definition_owner(&definition), "schedule");
	if (refusal.message == NULL)
		return;
	command->sqlstate = refusal.sqlstate;
	command->message = lend_string(refusal.message);
	command->detail = lend_string(refusal.detail);
	command->hint = lend_string(refusal.hint);
}

static aside_status
store_command(int64_t run, aside_schedule_command *command)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		static AsideStatement find = {
			"SELECT s.command, coalesce(least(ceil(extract(epoch FROM s.timeout) * 1000), 2147483647), 0)::int8, s.database, s.id, s.name "
			"FROM aside.schedule_run r JOIN aside.schedule s ON s.id = r.schedule WHERE r.id = $1 LIMIT 1"
		};
		AsideParameters parameters = {0};

		aside_begin_work();
		aside_add_number(&parameters, run);
		aside_run_statement(&find, &parameters);
		memset(command, 0, sizeof(*command));
		if (SPI_processed == 1)
		{
			char	   *database = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3);

			command->text = aside_lend_text(0, 1);
			command->timeout_ms = aside_number_at(0, 2);
			command->database = MyDatabaseId;
			if (database != NULL)
				find_database(database, command);
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
		.record = aside_record_schedules,
		.command = store_command,
	};

	host.rules = aside_rules_of_zone(NULL);
	return &host;
}
