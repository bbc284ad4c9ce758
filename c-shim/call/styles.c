/*
 * call/styles.c
 *	  Which values cross between processes as text, and under which settings
 *	  that text is written and read.
 *
 * A value of a type that only one database knows, or of a row type that only
 * one process knows, means nothing elsewhere; its text does. Such text is
 * written under styles that lose nothing and that every reader understands in
 * the same way, whatever the settings of either side. dblink is the exception:
 * its users ask for the text itself, so it is written under the session's own
 * settings, and a number beside each column names them.
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

/* Is a value of this type the OID of an object of this database? */
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

/* The same for the type or, if it is an array, for its elements. */
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

/* The styles under which every reader understands a text in the same way. */
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
 * Write or read text under these styles until aside_leave_styles(). names:
 * the text may name objects, which are then qualified. If the settings
 * already fit, this does nothing.
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

	/* A date in ISO style can be read in one way only. A date that somebody typed cannot. */
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
