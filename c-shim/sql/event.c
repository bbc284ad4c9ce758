/*
 * sql/event.c
 *	  The SQL functions of events, except for emitting (sql/emit.c).
 *
 * Functions in schema aside do the work, and nobody else may call them. The
 * function that a user calls forwards to one of these, as the owner of the
 * tables, and names the user who asks.
 */
#include "call/call.h"
#include "coordinator/coordinator.h"
#include "definitions/definition.h"
#include "events/events.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "replication/logicalworker.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

PG_FUNCTION_INFO_V1(aside_event_forward);
PG_FUNCTION_INFO_V1(aside_event_forward_rows);
PG_FUNCTION_INFO_V1(aside_want_events);
PG_FUNCTION_INFO_V1(aside_events_ready);
PG_FUNCTION_INFO_V1(aside_event_handlers_changed);
PG_FUNCTION_INFO_V1(aside_event_replicated);

/* Events, or schedules, need a coordinator. */
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
forward(FunctionCallInfo fcinfo, const char *topic, const char *what, bool read_only)
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
	aside_check_ready(topic);
	owner = aside_events_owner();
	aside_check_tables_owner(owner);
	if (!read_only)
		PreventCommandIfReadOnly(psprintf("%s()", NameStr(proc->proname)));
	initStringInfo(&query);
	appendStringInfo(&query, "SELECT %s aside.%s(", what, NameStr(proc->proname));
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

/* Forward to a function that returns one value. */
Datum
aside_forward(FunctionCallInfo fcinfo, const char *topic)
{
	int16		len;
	bool		byval;
	bool		null;
	Datum		result;

	forward(fcinfo, topic, "", false);
	if (SPI_processed != 1)
		elog(ERROR, "expected one row");
	get_typlenbyval(TupleDescAttr(SPI_tuptable->tupdesc, 0)->atttypid, &len, &byval);
	result = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null);
	if (!null && !byval)
		result = SPI_datumTransfer(result, byval, len);
	SPI_finish();
	fcinfo->isnull = null;
	return null ? (Datum) 0 : result;
}

/* The coordinator is told when the transaction commits. */
Datum
aside_event_forward(PG_FUNCTION_ARGS)
{
	Datum		result = aside_forward(fcinfo, "events");

	aside_announce_events();
	aside_announce_changes(ASIDE_TOPIC_HANDLERS);
	return result;
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

/* aside.event_handlers_changed(), a trigger of the table of handlers */
Datum
aside_event_handlers_changed(PG_FUNCTION_ARGS)
{
	aside_announce_changes(ASIDE_TOPIC_HANDLERS);
	return PointerGetDatum(NULL);
}

/*
 * aside.event_replicated(), a trigger on all tables of events that fires for
 * replicas only. What an apply worker writes to these tables belongs to
 * another server and stays out. What a trigger of a replicated table emits
 * belongs to this server.
 */
Datum
aside_event_replicated(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"event_replicated\" was not called by a trigger")));
	if (IsLogicalWorker() && DatumGetInt32(OidFunctionCall0(F_PG_TRIGGER_DEPTH)) == 1)
		return PointerGetDatum(NULL);
	return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(data->tg_event) ? data->tg_newtuple : data->tg_trigtuple);
}

/* aside.want_events(): by CREATE EXTENSION */
Datum
aside_want_events(PG_FUNCTION_ARGS)
{
	aside_announce_extension();
	PG_RETURN_VOID();
}

/* aside.events_ready(): has the server a launcher? */
Datum
aside_events_ready(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(aside_has_launcher());
}
