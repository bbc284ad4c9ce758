/*
 * sql/outdated.c
 *	  C functions that only released versions of the extension call.
 *
 * The server looks for them when it makes such a version's functions again,
 * as pg_upgrade does. Until ALTER EXTENSION UPDATE has been run they have
 * arguments that the functions of today do not have, so nothing serves them.
 * scripts/upgrade-sql says which these are.
 */
#include "base/aside.h"

#include "fmgr.h"
#include "utils/regproc.h"

static Datum
refuse(FunctionCallInfo fcinfo)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("function %s is of an older version of the extension than the module",
					format_procedure(fcinfo->flinfo->fn_oid)),
			 errhint("Run ALTER EXTENSION ... UPDATE in this database.")));
}

#define OUTDATED(name) \
	PG_FUNCTION_INFO_V1(name); \
	Datum name(PG_FUNCTION_ARGS) { return refuse(fcinfo); } \
	extern int	no_semicolon

/* 0.1.0 */
OUTDATED(aside_async_event_emit);
OUTDATED(aside_notifications);
OUTDATED(aside_background_stats);
OUTDATED(aside_background_task);
OUTDATED(aside_dblink_do);
OUTDATED(aside_event_handlers_changed);
