/*
 * sql/tx.c
 *	  The SQL functions that run one autonomous transaction: arguments in,
 *	  rows out.
 */
#include "call/call.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"

PG_FUNCTION_INFO_V1(aside_autonomous_exec);
PG_FUNCTION_INFO_V1(aside_autonomous_query);
PG_FUNCTION_INFO_V1(aside_autonomous_query_as);
PG_FUNCTION_INFO_V1(aside_autonomous_json);

/* Run the call whose command is argument `at` and whose arguments follow it. */
static uint64
run_call(FunctionCallInfo fcinfo, int at, aside_kind kind, aside_output output,
		 const aside_column *columns, int ncolumns)
{
	AsideArguments arguments;
	AsideRequest request = {
		.kind = kind,
		.output = output,
		.arguments = &arguments,
		.columns = columns,
		.ncolumns = ncolumns,
	};

	request.command = aside_text_argument(fcinfo, at);
	aside_collect_arguments(&arguments, fcinfo, at + 1, false);
	return aside_run_request(&request);
}

/* Run a call whose rows are kept in a tuplestore, which is the function's result. */
static Datum
return_rows(FunctionCallInfo fcinfo, int at, aside_kind kind, aside_output output, TupleDesc desc)
{
	AsideRows	rows;

	aside_start_rows(fcinfo, &rows);
	desc = aside_keep_columns(&rows, desc);
	rows.slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	aside_rows = &rows;
	(void) run_call(fcinfo, at, kind, output, aside_expected_columns(desc, false), desc->natts);
	return aside_return_rows(fcinfo, &rows, desc);
}

static TupleDesc
one_column(const char *name, Oid type)
{
	TupleDesc	desc = CreateTemplateTupleDesc(1);

	TupleDescInitEntry(desc, 1, name, type, -1, 0);
	TupleDescFinalize(desc);
	return desc;
}

/* autonomous_exec(command text [, VARIADIC args "any"]) returns bigint */
Datum
aside_autonomous_exec(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(run_call(fcinfo, 0, ASIDE_KIND_EXEC, ASIDE_OUTPUT_NONE, NULL, 0));
}

/* autonomous_query(command text [, VARIADIC args "any"]) returns setof record */
Datum
aside_autonomous_query(PG_FUNCTION_ARGS)
{
	return return_rows(fcinfo, 0, ASIDE_KIND_QUERY, ASIDE_OUTPUT_ROWS, aside_wanted_columns(fcinfo));
}

/* autonomous_query_as(rowtype anyelement, command text [, VARIADIC args "any"]) returns setof anyelement */
Datum
aside_autonomous_query_as(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Oid			type;

	aside_require_set_context(fcinfo);
	switch (get_call_result_type(fcinfo, &type, &desc))
	{
		case TYPEFUNC_COMPOSITE:
			break;
		case TYPEFUNC_SCALAR:
			desc = one_column("autonomous_query_as", type);
			break;
		case TYPEFUNC_COMPOSITE_DOMAIN:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("rows of an autonomous transaction cannot be of type %s, a domain over a composite type",
							format_type_be(type)),
					 errhint("Name the composite type, and cast the rows to the domain.")));
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("could not determine the row type of an autonomous transaction"),
					 errhint("Cast the first argument to a named type, for example NULL::my_table.")));
	}
	return return_rows(fcinfo, 1, ASIDE_KIND_QUERY_AS, ASIDE_OUTPUT_ROWS, desc);
}

/* autonomous_json(command text [, VARIADIC args "any"]) returns setof jsonb */
Datum
aside_autonomous_json(PG_FUNCTION_ARGS)
{
	aside_require_set_context(fcinfo);
	return return_rows(fcinfo, 0, ASIDE_KIND_JSON, ASIDE_OUTPUT_JSON,
					   one_column("autonomous_json", JSONBOID));
}
