/*
 * sql/forward.c
 *	  The functions with which users change events, handlers, schedules and
 *	  jobs.
 *
 * Functions in schema aside do the work, and nobody else may call them. The
 * function that a user calls forwards to the function of the same name there,
 * as the owner of the tables, and names the user who asks.
 */
#include "call/call.h"
#include "definitions/definition.h"
#include "coordinator/coordinator.h"
#include "events/events.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(aside_event_forward);
PG_FUNCTION_INFO_V1(aside_event_forward_rows);
PG_FUNCTION_INFO_V1(aside_schedule_forward);
PG_FUNCTION_INFO_V1(aside_parallel_forward);

/* What needs a coordinator: events, schedules, or jobs. */
void
aside_check_ready(const char *what)
{
	aside_refuse_if_restricted(what);
	if (!aside_has_launcher())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s need pg_aside to be preloaded", what),
				 errhint("Add \"pg_aside\" to \"shared_preload_libraries\" and restart the server.")));
}

/*
 * Call the function of the same name in schema aside, as the owner of the
 * tables. It gets the caller's role, and then this function's arguments. Its
 * result is in SPI's tuple table until SPI_finish().
 */
static void
forward(FunctionCallInfo fcinfo, const char *what, const char *columns, bool read_only)
{
	Form_pg_proc proc;
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(fcinfo->flinfo->fn_oid));
	int			count = PG_NARGS() + 1;
	Oid		   *types = palloc(sizeof(Oid) * count);
	Datum	   *values = palloc(sizeof(Datum) * count);
	char	   *nulls = palloc(count + 1);
	StringInfoData query;
	Oid			owner;
	AsideUser	before;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", fcinfo->flinfo->fn_oid);
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	aside_check_ready(what);
	owner = aside_events_owner();
	aside_check_tables_owner(owner);
	if (!read_only)
		PreventCommandIfReadOnly(psprintf("%s()", NameStr(proc->proname)));
	initStringInfo(&query);
	appendStringInfo(&query, "SELECT %s aside.%s(", columns, NameStr(proc->proname));
	for (int i = 0; i < count; i++)
	{
		types[i] = i == 0 ? OIDOID : proc->proargtypes.values[i - 1];
		values[i] = i == 0 ? ObjectIdGetDatum(GetUserId()) : PG_GETARG_DATUM(i - 1);
		nulls[i] = i > 0 && PG_ARGISNULL(i - 1) ? 'n' : ' ';
		appendStringInfo(&query, "%s$%d", i == 0 ? "" : ", ", i + 1);
	}
	appendStringInfoChar(&query, ')');
	ReleaseSysCache(tuple);
	before = aside_act_as(owner);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (SPI_execute_with_args(query.data, count, types, values, nulls, read_only, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run \"%s\"", query.data);
	aside_act_again(before);
}

/* Forward to a function that returns one value. The coordinator hears of the change when the transaction commits. */
static Datum
forward_change(FunctionCallInfo fcinfo, const char *what, uint32 topics)
{
	int16		len;
	bool		byval;
	bool		null;
	Datum		result;

	forward(fcinfo, what, "", false);
	if (SPI_processed != 1)
		elog(ERROR, "expected one row");
	get_typlenbyval(TupleDescAttr(SPI_tuptable->tupdesc, 0)->atttypid, &len, &byval);
	result = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null);
	if (!null && !byval)
		result = SPI_datumTransfer(result, byval, len);
	SPI_finish();
	aside_announce_changes(topics);
	fcinfo->isnull = null;
	return null ? (Datum) 0 : result;
}

Datum
aside_event_forward(PG_FUNCTION_ARGS)
{
	Datum		result = forward_change(fcinfo, "events", ASIDE_TOPIC_HANDLERS);

	aside_announce_events();
	return result;
}

Datum
aside_schedule_forward(PG_FUNCTION_ARGS)
{
	return forward_change(fcinfo, "schedules", ASIDE_TOPIC_SCHEDULES);
}

Datum
aside_parallel_forward(PG_FUNCTION_ARGS)
{
	return forward_change(fcinfo, "jobs", ASIDE_TOPIC_JOBS);
}

/* Forward to a function that only reads, and returns rows. */
Datum
aside_event_forward_rows(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rows = (ReturnSetInfo *) fcinfo->resultinfo;

	aside_begin_rows(fcinfo);
	forward(fcinfo, "events", "* FROM", true);
	for (uint64 i = 0; i < SPI_processed; i++)
		tuplestore_puttuple(rows->setResult, SPI_tuptable->vals[i]);
	SPI_finish();
	return (Datum) 0;
}
