/*
 * schedules/zone.c
 *	  The server reads time zones, intervals and timestamps for the core. So a
 *	  schedule fires by the server's own rules.
 */
#include "schedules/schedules.h"

#include "datatype/timestamp.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#define UNIX_TO_POSTGRES ((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * INT64CONST(86400))

/* The offset of "+2", "-3.5" or "+05:30", in seconds east of Greenwich. */
static bool
fixed_offset(const char *name, long *seconds)
{
	char	   *end;
	double		hours;
	int			minutes = 0;

	if (*name != '+' && *name != '-' && !(*name >= '0' && *name <= '9'))
		return false;
	hours = strtod(name, &end);
	if (end == name)
		return false;
	if (*end == ':')
	{
		char	   *after;

		minutes = strtol(end + 1, &after, 10);
		if (after != end + 3 || minutes < 0 || minutes > 59)
			return false;
		end = after;
	}
	if (*end != '\0' || hours < -MAX_TZDISP_HOUR || hours > MAX_TZDISP_HOUR)
		return false;
	*seconds = hours * SECS_PER_HOUR + (*name == '-' ? -minutes : minutes) * SECS_PER_MINUTE;
	return true;
}

/* Reads a zone as SET TimeZone does, and also an offset with minutes. NULL if no zone has that name. */
pg_tz *
aside_zone_named(const char *name)
{
	long		seconds;
	pg_tz	   *zone;

	if (fixed_offset(name, &seconds))
		return pg_tzset_offset(-seconds);
	/* No zone's name begins so. The server would take the text for a POSIX zone without a name. */
	if (*name == '\0' || strchr("+-0123456789", *name) != NULL || strlen(name) > TZ_STRLEN_MAX)
		return NULL;
	zone = pg_tzset(name);
	return zone != NULL && pg_tz_acceptable(zone) ? zone : NULL;
}

const void *
aside_schedule_zone(aside_bytes name)
{
	aside_status status = ASIDE_OK;
	pg_tz	   *zone = NULL;

	ASIDE_TRY(status);
	{
		zone = aside_zone_named(pnstrdup((const char *) name.data, name.len));
	}
	ASIDE_END_TRY();
	return status == ASIDE_OK ? zone : NULL;
}

void
aside_schedule_span(const void *zone, int64_t at, int64_t *offset, int64_t *until)
{
	pg_time_t	when = at + UNIX_TO_POSTGRES;
	pg_time_t	boundary;
	long		before;
	long		after;
	int			is_dst;
	int			will_be;
	int			found = pg_next_dst_boundary(&when, &before, &is_dst, &boundary, &after, &will_be, (const pg_tz *) zone);

	*offset = found < 0 ? 0 : before;
	*until = found > 0 && boundary > when ? boundary - UNIX_TO_POSTGRES : PG_INT64_MAX;
}

/* The message of the kept error. The core puts it into its own error. */
static void
lend_reason(aside_bytes *why)
{
	*why = aside_text_bytes(aside_kept_error() == NULL ? "" : aside_kept_error()->message);
}

static bool
read_interval(aside_bytes text, int64_t *parts, aside_bytes *why)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		char	   *copy = pnstrdup((const char *) text.data, text.len);
		Interval   *read = DatumGetIntervalP(DirectFunctionCall3(interval_in, CStringGetDatum(copy),
																 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));

		parts[0] = read->month;
		parts[1] = read->day;
		parts[2] = read->time;
	}
	ASIDE_END_TRY();
	if (status != ASIDE_OK)
		lend_reason(why);
	return status == ASIDE_OK;
}

/* The zone of a timestamp that names none: the zone of the schedule. */
static pg_tz *zone_of_literals = NULL;

static bool
read_timestamp(aside_bytes text, int64_t *at, aside_bytes *why)
{
	aside_status status = ASIDE_OK;
	pg_tz	   *before = session_timezone;

	ASIDE_TRY(status);
	{
		char	   *copy = pnstrdup((const char *) text.data, text.len);

		session_timezone = zone_of_literals;
		*at = DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(copy), ObjectIdGetDatum(InvalidOid),
													  Int32GetDatum(-1)));
	}
	ASIDE_END_TRY();
	session_timezone = before;
	if (status != ASIDE_OK)
		lend_reason(why);
	return status == ASIDE_OK;
}

static text *given = NULL;

/* Copies an answer, because the core lends it during the call only. */
static void
keep_answer(aside_bytes answer)
{
	aside_status status = ASIDE_OK;

	given = NULL;
	ASIDE_TRY(status);
	{
		given = cstring_to_text_with_len((const char *) answer.data, answer.len);
	}
	ASIDE_END_TRY();
}

/* The answer of the last call. */
text *
aside_schedule_answer(void)
{
	if (given == NULL)
		aside_throw_kept();
	return given;
}

/* The functions by which the core reads a specification in this zone. They hold until the next call. */
const aside_schedule_rules *
aside_rules_of_zone(pg_tz *zone)
{
	static const aside_schedule_rules rules = {
		.abi_version = ASIDE_ABI_VERSION,
		.interval = read_interval,
		.timestamp = read_timestamp,
		.span = aside_schedule_span,
		.give = keep_answer,
	};

	zone_of_literals = zone;
	return &rules;
}
