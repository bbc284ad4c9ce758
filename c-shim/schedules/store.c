/*
 * schedules/store.c
 *	  A coordinator reads the tables of schedules.
 */
#include "call/call.h"
#include "coordinator/work.h"
#include "definitions/definition.h"
#include "events/events.h"
#include "schedules/schedules.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define US_OF(column) "least(extract(epoch FROM " column ") * 1000000, 1e17)::int8"

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
		static SPIPlanPtr plan = NULL;
		Oid			types[1] = {INT8ARRAYOID};
		Datum		values[1];

		aside_begin_work();
		values[0] = aside_event_array(schedules, count);
		memset(out, 0, sizeof(aside_standing) * count);
		aside_run_kept(&plan, "SELECT w.place, s.id, s.name FROM unnest($1) WITH ORDINALITY w (id, place) JOIN aside.schedule s ON s.id = w.id "
						"WHERE NOT s.inert", 1, types, values, SPI_OK_SELECT);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			aside_standing *standing = &out[aside_number_at(i, 1) - 1];
			AsideDefinition definition = {
				.kind = "schedule",
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
		static SPIPlanPtr plan = NULL;
		Oid			types[1] = {INT8OID};
		Datum		values[1] = {Int64GetDatum(run)};

		aside_begin_work();
		aside_run_kept(&plan, "SELECT s.command, coalesce(least(ceil(extract(epoch FROM s.timeout) * 1000), 2147483647), 0)::int8, s.database, s.id, s.name "
						"FROM aside.schedule_run r JOIN aside.schedule s ON s.id = r.schedule WHERE r.id = $1 LIMIT 1",
						1, types, values, SPI_OK_SELECT);
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
