/*
 * sql/schedule.c
 *	  The SQL functions that read the specification of a schedule, say in words
 *	  what it means, or list when it fires. Those that change schedules are in
 *	  sql/forward.c.
 */
#include "call/call.h"
#include "coordinator/coordinator.h"
#include "events/events.h"
#include "module/module.h"
#include "schedules/schedules.h"

#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(aside_schedule_rule);
PG_FUNCTION_INFO_V1(aside_schedule_words);
PG_FUNCTION_INFO_V1(aside_schedule_dues_sql);
PG_FUNCTION_INFO_V1(aside_schedule_target);
PG_FUNCTION_INFO_V1(aside_schedule_unreadable);

/* The core is asked for this many due times at a time. */
#define DUES 256

static pg_tz *
zone_argument(const char *name)
{
	pg_tz	   *zone = aside_zone_named(name);

	if (zone == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" not recognized", name),
				 errhint("The time zone may be a name that the view pg_timezone_names lists, or an offset such as +05:30.")));
	return zone;
}

/* The answer of an export, copied into this memory context. */
static text *
answered(aside_status status)
{
	if (status != ASIDE_OK)
		aside_throw_kept();
	return aside_schedule_answer();
}

static aside_bytes
text_argument(Datum value)
{
	text	   *given = DatumGetTextPP(value);
	aside_bytes bytes = {(const uint8_t *) VARDATA_ANY(given), VARSIZE_ANY_EXHDR(given)};

	return bytes;
}

/* aside.schedule_rule(spec text, timezone text, now timestamptz) returns text: the form that is stored */
Datum
aside_schedule_rule(PG_FUNCTION_ARGS)
{
	pg_tz	   *zone = zone_argument(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	aside_status status = aside_schedule_read(aside_get_caller_host(), aside_rules_of_zone(zone), text_argument(PG_GETARG_DATUM(0)),
											  PG_GETARG_TIMESTAMPTZ(2));

	PG_RETURN_TEXT_P(answered(status));
}

/* schedule_explain(spec text) returns text */
Datum
aside_schedule_words(PG_FUNCTION_ARGS)
{
	aside_status status = aside_schedule_explain(aside_get_caller_host(), aside_rules_of_zone(session_timezone), session_timezone,
												 text_argument(PG_GETARG_DATUM(0)), GetCurrentTimestamp());

	PG_RETURN_TEXT_P(answered(status));
}

/* aside.schedule_dues(rule text, timezone text, count int, after timestamptz) returns timestamptz[] */
Datum
aside_schedule_dues_sql(PG_FUNCTION_ARGS)
{
	aside_bytes rule = text_argument(PG_GETARG_DATUM(0));
	pg_tz	   *zone = zone_argument(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	int64		count = Max(PG_GETARG_INT32(2), 0);
	int64		after = PG_GETARG_TIMESTAMPTZ(3);
	int64_t    *dues = palloc(sizeof(int64_t) * DUES);
	ArrayBuildState *all = initArrayResult(TIMESTAMPTZOID, CurrentMemoryContext, false);
	size_t		found = DUES;

	for (int64 done = 0; done < count && found == DUES; done += found)
	{
		if (aside_schedule_dues(aside_get_caller_host(), aside_rules_of_zone(zone), zone, rule, after, dues, DUES, &found) != ASIDE_OK)
			aside_throw_kept();
		for (size_t i = 0; i < found && done + i < count; i++)
			all = accumArrayResult(all, TimestampTzGetDatum(dues[i]), false, TIMESTAMPTZOID, CurrentMemoryContext);
		if (found > 0)
			after = dues[found - 1];
		CHECK_FOR_INTERRUPTS();
	}
	PG_RETURN_DATUM(makeArrayResult(all, CurrentMemoryContext));
}

/* aside.schedule_target(role oid, database name) returns void: raises why commands of the role may not run there */
Datum
aside_schedule_target(PG_FUNCTION_ARGS)
{
	const char *name = NameStr(*PG_GETARG_NAME(1));

	aside_check_reach(get_database_oid(name, false), name, PG_GETARG_OID(0), "schedule");
	PG_RETURN_VOID();
}

/* aside.schedule_unreadable(rule text, timezone text) returns text: why; NULL: both can be read */
Datum
aside_schedule_unreadable(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	pg_tz	   *zone = aside_zone_named(name);
	int64_t		due;
	size_t		found;

	if (zone == NULL)
		PG_RETURN_TEXT_P(cstring_to_text(psprintf("time zone \"%s\" is not known to the server any more", name)));
	if (aside_schedule_dues(aside_get_caller_host(), aside_rules_of_zone(zone), zone, text_argument(PG_GETARG_DATUM(0)),
							GetCurrentTimestamp(), &due, 0, &found) == ASIDE_OK)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("its specification cannot be read any more: %s", aside_kept_error()->message)));
}
