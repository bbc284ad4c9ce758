/*
 * language/handler.c
 *	  LANGUAGE plpgsql_autonomous, the caller's side: PL/pgSQL routines that
 *	  run as a whole in an autonomous transaction.
 *
 * Before the server calls a language's handler, it has checked the right to
 * execute, switched to the definer, and applied the SET clauses of the
 * routine. The worker gets identity and settings as they are at that point.
 */
#include "call/call.h"
#include "language/routine.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "commands/proclang.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(aside_plpgsql_call);
PG_FUNCTION_INFO_V1(aside_plpgsql_inline);
PG_FUNCTION_INFO_V1(aside_plpgsql_validate);

/* What one call site needs to know of its routine; kept in fn_extra. */
typedef struct CallSite
{
	AsideRoutine routine;
	char	   *command;		/* as pg_stat_activity shows it */
	int			nargs;
	Oid		   *types;
	int16	   *lengths;
	bool	   *by_value;
	TupleDesc	desc;			/* of a composite or set result, else NULL */
	uint64		layout;			/* of a named row type, which may be altered */
	aside_column *columns;
	int			ncolumns;
	TupleTableSlot *slot;		/* of the one row of a result that is no set */
} CallSite;

static void
set_column(aside_column *column, Oid type, int32 typmod, const char *name)
{
	column->type = type;
	column->typmod = typmod;
	column->name.data = (const uint8_t *) name;
	column->name.len = strlen(name);
}

static void
describe_arguments(CallSite *site, FunctionCallInfo fcinfo, Form_pg_proc proc)
{
	site->nargs = PG_NARGS();
	site->types = palloc(sizeof(Oid) * Max(site->nargs, 1));
	site->lengths = palloc(sizeof(int16) * Max(site->nargs, 1));
	site->by_value = palloc(sizeof(bool) * Max(site->nargs, 1));
	for (int i = 0; i < site->nargs; i++)
	{
		Oid			type = proc->proargtypes.values[i];

		if (IsPolymorphicType(type))
			type = get_fn_expr_argtype(fcinfo->flinfo, i);
		if (!OidIsValid(type) || get_typtype(type) == TYPTYPE_PSEUDO)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("argument %d of an autonomous function cannot be of type %s", i + 1,
							OidIsValid(type) ? format_type_be(type) : "unknown"),
					 errhint("Use a named type.")));
		site->types[i] = type;
		get_typlenbyval(type, &site->lengths[i], &site->by_value[i]);
	}
}

/* A row of no named type means something in the process that made it only. */
static void
refuse_anonymous(Form_pg_attribute att)
{
	if (att->atttypid == RECORDOID || att->atttypid == RECORDARRAYOID)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" of the result of an autonomous function cannot be of type %s",
						NameStr(att->attname), format_type_be(att->atttypid)),
				 errhint("Use a named composite type.")));
}

static void
describe_result(CallSite *site, FunctionCallInfo fcinfo, bool set)
{
	AsideRoutine *routine = &site->routine;
	int			first = 0;

	routine->kind = ASIDE_ROUTINE_SCALAR;
	switch (get_call_result_type(fcinfo, &routine->result_type, &site->desc))
	{
		case TYPEFUNC_SCALAR:
			site->desc = NULL;
			if (routine->result_type == VOIDOID && !set)
				return;
			site->desc = CreateTemplateTupleDesc(1);
			TupleDescInitEntry(site->desc, 1, "result", routine->result_type, -1, 0);
			TupleDescFinalize(site->desc);
			break;
		case TYPEFUNC_COMPOSITE:
		case TYPEFUNC_COMPOSITE_DOMAIN:
			routine->kind = ASIDE_ROUTINE_COMPOSITE;
			site->desc = BlessTupleDesc(CreateTupleDescCopy(site->desc));
			if (site->desc->tdtypeid != RECORDOID)
				site->layout = assign_record_type_identifier(site->desc->tdtypeid, -1);
			break;
		case TYPEFUNC_OTHER:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("trigger functions can only be called as triggers")));
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("autonomous function returning record called in context that cannot accept type record"),
					 errhint("Call it in FROM with a column definition list, or give it OUT parameters.")));
	}
	if (set)
		routine->kind = ASIDE_ROUTINE_SET;
	first = routine->kind == ASIDE_ROUTINE_COMPOSITE ? 1 : 0;
	site->ncolumns = site->desc->natts + first;
	site->columns = palloc0(sizeof(aside_column) * Max(site->ncolumns, 1));
	if (first == 1)
		set_column(&site->columns[0], BOOLOID, -1, "is null");
	for (int i = 0; i < site->desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(site->desc, i);

		if (att->attisdropped)
			continue;
		refuse_anonymous(att);
		set_column(&site->columns[i + first], att->atttypid, att->atttypmod,
				   NameStr(att->attname));
	}
}

/* The row in which a result that is no set arrives. */
static TupleTableSlot *
result_slot(const CallSite *site)
{
	TupleDesc	desc = CreateTemplateTupleDesc(site->ncolumns);

	for (int i = 0; i < site->ncolumns; i++)
		TupleDescInitEntry(desc, i + 1, NULL, site->columns[i].type == 0 ? INT4OID : site->columns[i].type,
						   site->columns[i].typmod, 0);
	TupleDescFinalize(desc);
	return MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
}

static CallSite *
make_call_site(FunctionCallInfo fcinfo)
{
	MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	CallSite   *site = palloc0(sizeof(CallSite));
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(fcinfo->flinfo->fn_oid));
	Form_pg_proc proc;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", fcinfo->flinfo->fn_oid);
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	site->command = psprintf("autonomous %s %s",
							 proc->prokind == PROKIND_PROCEDURE ? "procedure" : "function",
							 quote_qualified_identifier(get_namespace_name(proc->pronamespace),
														NameStr(proc->proname)));
	describe_arguments(site, fcinfo, proc);
	describe_result(site, fcinfo, proc->proretset);
	if (site->ncolumns > 0 && site->routine.kind != ASIDE_ROUTINE_SET)
		site->slot = result_slot(site);
	ReleaseSysCache(tuple);
	MemoryContextSwitchTo(old);
	return site;
}

/* The call site of this call. It is made anew if its row type has another layout by now. */
static CallSite *
current_call_site(FunctionCallInfo fcinfo)
{
	CallSite   *site = fcinfo->flinfo->fn_extra;

	/* See what other transactions have done since the statement began, such as the last call of this routine. */
	AcceptInvalidationMessages();
	if (site == NULL ||
		(site->layout != 0 && site->layout != assign_record_type_identifier(site->desc->tdtypeid, -1)))
		site = fcinfo->flinfo->fn_extra = make_call_site(fcinfo);
	return site;
}

static void
run_routine(CallSite *site, FunctionCallInfo fcinfo, AsideRows *rows)
{
	AsideArguments arguments;
	AsideRequest request = {
		.kind = ASIDE_KIND_ROUTINE,
		.output = site->ncolumns == 0 ? ASIDE_OUTPUT_NONE : ASIDE_OUTPUT_ROWS,
		.columns = site->columns,
		.ncolumns = site->ncolumns,
		.command = aside_text_bytes(site->command),
		.routine = {(const uint8_t *) &site->routine, sizeof(AsideRoutine)},
	};

	aside_describe_routine(&site->routine, fcinfo->flinfo->fn_oid);
	site->routine.collation = PG_GET_COLLATION();
	aside_allocate_arguments(&arguments, site->nargs);
	for (int i = 0; i < site->nargs; i++)
		aside_fill_argument(&arguments, i, site->types[i], site->lengths[i], site->by_value[i],
							fcinfo->args[i].value, fcinfo->args[i].isnull);
	request.arguments = &arguments;
	aside_rows = rows;
	(void) aside_run_request(&request);
}

static Datum
call_set(CallSite *site, FunctionCallInfo fcinfo)
{
	AsideRows	rows;
	TupleDesc	desc;

	aside_require_set_context(fcinfo);
	aside_start_rows(fcinfo, &rows);
	desc = aside_keep_columns(&rows, site->desc);
	rows.slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	run_routine(site, fcinfo, &rows);
	return aside_return_rows(fcinfo, &rows, desc);
}

static Datum
call_single(CallSite *site, FunctionCallInfo fcinfo)
{
	AsideRows	rows = {0};

	run_routine(site, fcinfo, &rows);
	fcinfo->isnull = false;
	if (site->ncolumns == 0)
		return (Datum) 0;
	if (rows.single == NULL)
		elog(ERROR, "autonomous function returned no result");
	ExecStoreMinimalTuple(rows.single, site->slot, false);
	slot_getallattrs(site->slot);
	if (site->routine.kind == ASIDE_ROUTINE_SCALAR)
	{
		fcinfo->isnull = site->slot->tts_isnull[0];
		return site->slot->tts_values[0];
	}
	if (DatumGetBool(site->slot->tts_values[0]))
	{
		fcinfo->isnull = true;
		return (Datum) 0;
	}
	return HeapTupleGetDatum(heap_form_tuple(site->desc, site->slot->tts_values + 1,
											 site->slot->tts_isnull + 1));
}

/* The language's handler. */
Datum
aside_plpgsql_call(PG_FUNCTION_ARGS)
{
	CallSite   *site;

	if (CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("event trigger functions cannot be autonomous"),
				 errdetail("An autonomous transaction does not see what the event has changed.")));
	if (CALLED_AS_TRIGGER(fcinfo))
		return aside_call_trigger(fcinfo);
	site = current_call_site(fcinfo);
	return site->routine.kind == ASIDE_ROUTINE_SET ? call_set(site, fcinfo) : call_single(site, fcinfo);
}

/* DO LANGUAGE plpgsql_autonomous: the same block, in the worker's PL/pgSQL. */
Datum
aside_plpgsql_inline(PG_FUNCTION_ARGS)
{
	const char *source = ((InlineCodeBlock *) PG_GETARG_POINTER(0))->source_text;
	Size		length = strlen(source) + 1;
	AsideRoutine *routine = palloc0(MAXALIGN(sizeof(AsideRoutine)) + length);
	AsideRequest request = {
		.kind = ASIDE_KIND_ROUTINE,
		.output = ASIDE_OUTPUT_NONE,
		.command = aside_text_bytes(psprintf("DO LANGUAGE plpgsql_autonomous %s", quote_literal_cstr(source))),
		.routine = {(const uint8_t *) routine, MAXALIGN(sizeof(AsideRoutine)) + length},
	};

	routine->kind = ASIDE_ROUTINE_BLOCK;
	routine->error_if_uncommitted = aside_uncommitted_at_exit == ASIDE_EXIT_ERROR;
	memcpy(unconstify(char *, aside_routine_rest(routine)), source, length);
	(void) aside_run_request(&request);
	PG_RETURN_VOID();
}

/*
 * PL/pgSQL's validator checks the body. It also checks that the function's
 * language names it as its validator, by the OID under which it was called.
 * That OID is ours.
 */
Datum
aside_plpgsql_validate(PG_FUNCTION_ARGS)
{
	Oid			function = PG_GETARG_OID(0);
	HeapTuple	language;
	FmgrInfo	validator;

	if (!CheckFunctionValidatorAccess(fcinfo->flinfo->fn_oid, function))
		PG_RETURN_VOID();
	if (get_func_rettype(function) == EVENT_TRIGGEROID)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("event trigger functions cannot be autonomous")));
	language = SearchSysCache1(LANGOID, ObjectIdGetDatum(get_language_oid("plpgsql", false)));
	fmgr_info(((Form_pg_language) GETSTRUCT(language))->lanvalidator, &validator);
	ReleaseSysCache(language);
	validator.fn_oid = fcinfo->flinfo->fn_oid;
	(void) FunctionCall1(&validator, ObjectIdGetDatum(function));
	PG_RETURN_VOID();
}
