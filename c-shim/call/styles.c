/*
 * call/styles.c
 *	  Values that cross between processes as text: which types do, and under
 *	  which settings their text is written and read.
 *
 * A type of a database, or one whose rows mean something in one process only,
 * has no meaning where a value arrives; its text does.  Such text is written
 * under styles that lose nothing and that every reader takes for the same
 * value, whatever either side has set.  Only where the text itself is what
 * somebody asked for, as of dblink, is it written by the session's own
 * settings: then their names travel as a number, beside each column.
 */
#include "call/call.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/float.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

/* In bits: 0-7 why text, 8-15 DateStyle, 16-23 its order, 24-31 IntervalStyle. */
#define STYLES(why, date, order, interval) \
	((uint32) (why) | (uint32) (date) << 8 | (uint32) (order) << 16 | (uint32) (interval) << 24)

enum
{
	EXACT = 1,					/* it stands for a value */
	AS_SHOWN,					/* it is what a client would see */
};

/* A value of it is the OID of an object of this database. */
static bool
names_object(Oid type)
{
	switch (type)
	{
		case REGCLASSOID:
		case REGCOLLATIONOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
		case REGNAMESPACEOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGTYPEOID:
			return true;
		default:
			return false;
	}
}

/* The same, of an array's elements too. */
bool
aside_names_objects(Oid type)
{
	Oid			element = get_element_type(type);

	return names_object(OidIsValid(element) ? element : type);
}

/* Does a value of this type mean nothing where it arrives? elsewhere: that may be another database. */
bool
aside_crosses_as_text(Oid type, bool elsewhere)
{
	return type >= FirstNormalObjectId || get_typtype(type) == TYPTYPE_PSEUDO ||
		(elsewhere && aside_names_objects(type));
}

/* What every reader takes for the same value. */
uint32
aside_fixed_styles(void)
{
	return STYLES(EXACT, USE_ISO_DATES, DATEORDER_MDY, INTSTYLE_POSTGRES);
}

uint32
aside_own_styles(void)
{
	return STYLES(AS_SHOWN, DateStyle, DateOrder, IntervalStyle);
}

static void
put(int *nest, const char *name, const char *value)
{
	if (*nest == 0)
		*nest = NewGUCNestLevel();
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Write or read text under these styles, until aside_leave_styles; names: of
 * objects, which are then qualified.  Where the settings are as they should
 * be, nothing is done.
 */
int
aside_enter_styles(uint32 styles, bool names)
{
	static const char *const dates[] = {"Postgres", "ISO", "SQL", "German"};
	static const char *const orders[] = {"YMD", "DMY", "MDY"};
	static const char *const intervals[] = {"postgres", "postgres_verbose", "sql_standard", "iso_8601"};
	int			date = styles >> 8 & 0xFF;
	int			order = styles >> 16 & 0xFF;
	int			interval = styles >> 24;
	int			nest = 0;

	/* A date in ISO style is read in one way only; what somebody typed is not. */
	if ((date != DateStyle || (order != DateOrder && (styles & 0xFF) == AS_SHOWN)) &&
		date < lengthof(dates) && order < lengthof(orders))
		put(&nest, "datestyle", psprintf("%s, %s", dates[date], orders[order]));
	if (interval != IntervalStyle && interval < lengthof(intervals))
		put(&nest, "intervalstyle", intervals[interval]);
	if (extra_float_digits < 1)
		put(&nest, "extra_float_digits", "1");
	if (!Array_nulls)
		put(&nest, "array_nulls", "on");
	if (names)
		put(&nest, "search_path", "pg_catalog");
	return nest;
}

void
aside_leave_styles(int nest)
{
	if (nest != 0)
		AtEOXact_GUC(true, nest);
}
