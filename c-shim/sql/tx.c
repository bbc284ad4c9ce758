/*
 * sql/tx.c
 *	  The SQL functions that run one autonomous transaction: arguments in,
 *	  rows out.
 */
#include "base/aside.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(aside_autonomous_exec);
PG_FUNCTION_INFO_V1(aside_autonomous_query);
PG_FUNCTION_INFO_V1(aside_autonomous_query_as);
PG_FUNCTION_INFO_V1(aside_autonomous_json);

/* A row of no named type means something in the process that made it only. */
static void
refuse_pseudo(Oid type, int number)
{
	if (get_typtype(type) == TYPTYPE_PSEUDO)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("argument $%d of an autonomous transaction cannot be of type %s",
						number, format_type_be(type)),
				 errhint("Cast it to a named type.")));
}

/* One argument, to be read in another process: nothing of it stays in a toast table. */
void
aside_fill_argument(AsideArguments *to, int i, Oid type, int16 len, bool by_value,
					Datum value, bool null)
{
	aside_arg  *arg = &to->args[i];

	arg->type = type;
	if (null)
	{
		arg->form = ASIDE_ARG_NULL;
		return;
	}
	if (by_value)
	{
		to->values[i] = value;
		arg->form = ASIDE_ARG_BYVAL;
		arg->data.data = (const uint8_t *) &to->values[i];
		arg->data.len = sizeof(Datum);
		return;
	}
	arg->form = ASIDE_ARG_BYREF;
	if (len == -1)
	{
		struct varlena *data = detoast_external_attr((struct varlena *) DatumGetPointer(value));

		arg->data.data = (const uint8_t *) data;
		arg->data.len = VARSIZE_ANY(data);
		return;
	}
	arg->data.data = (const uint8_t *) DatumGetPointer(value);
	arg->data.len = len == -2 ? strlen(DatumGetCString(value)) + 1 : len;
}

void
aside_allocate_arguments(AsideArguments *to, int count)
{
	to->count = count;
	to->args = palloc0(sizeof(aside_arg) * Max(count, 1));
	to->values = palloc(sizeof(Datum) * Max(count, 1));
}

/* VARIADIC array: its elements are the arguments; NULL is none. */
static void
spread_array(AsideArguments *to, FunctionCallInfo fcinfo, int first)
{
	ArrayType  *array;
	Datum	   *elements;
	bool	   *nulls;
	int16		len;
	bool		byval;
	char		align;
	int			count;

	if (PG_ARGISNULL(first))
	{
		aside_allocate_arguments(to, 0);
		return;
	}
	if (!OidIsValid(get_base_element_type(get_fn_expr_argtype(fcinfo->flinfo, first))))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("VARIADIC argument must be an array")));
	array = PG_GETARG_ARRAYTYPE_P(first);
	get_typlenbyvalalign(ARR_ELEMTYPE(array), &len, &byval, &align);
	refuse_pseudo(ARR_ELEMTYPE(array), 1);
	count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	if (count > ASIDE_MOST_VALUES)
		ereport(ERROR,
				(errcode(ERRCODE_TOO_MANY_ARGUMENTS),
				 errmsg("too many arguments for an autonomous transaction"),
				 errdetail("There may be %d, as in the protocol, but %d were given.", ASIDE_MOST_VALUES, count),
				 errhint("Pass an array as one argument, without VARIADIC.")));
	deconstruct_array(array, ARR_ELEMTYPE(array), len, byval, align, &elements, &nulls, &count);
	aside_allocate_arguments(to, count);
	for (int i = 0; i < count; i++)
		aside_fill_argument(to, i, ARR_ELEMTYPE(array), len, byval, elements[i], nulls[i]);
}

/* A type of this database alone means nothing in another one: its text does. */
static void
make_text(AsideArguments *to)
{
	for (int i = 0; i < to->count; i++)
	{
		aside_arg  *arg = &to->args[i];
		Oid			output;
		bool		varlena;

		if (!OidIsValid(arg->type) || !aside_crosses_as_text(arg->type, true))
			continue;
		if (arg->form != ASIDE_ARG_NULL)
		{
			int			nest = aside_enter_styles(aside_fixed_styles(), aside_names_objects(arg->type));

			getTypeOutputInfo(arg->type, &output, &varlena);
			arg->data = aside_text_bytes(OidOutputFunctionCall(output, aside_argument_datum(arg, arg->type)));
			arg->form = ASIDE_ARG_TEXT;
			aside_leave_styles(nest);
		}
		/* The server's own types are known there. */
		if (arg->type >= FirstNormalObjectId)
			arg->type = InvalidOid;
	}
}

static void
collect_arguments(AsideArguments *to, FunctionCallInfo fcinfo, int first)
{
	if (PG_NARGS() > first && get_fn_expr_variadic(fcinfo->flinfo))
	{
		spread_array(to, fcinfo, first);
		return;
	}
	aside_allocate_arguments(to, Max(PG_NARGS() - first, 0));
	for (int i = 0; i < to->count; i++)
	{
		Oid			type = get_fn_expr_argtype(fcinfo->flinfo, first + i);
		int16		len;
		bool		byval;

		if (!OidIsValid(type))
			ereport(ERROR,
					(errcode(ERRCODE_INDETERMINATE_DATATYPE),
					 errmsg("could not determine data type of argument $%d", i + 1),
					 errhint("Cast the argument, for example to text.")));
		if (type == UNKNOWNOID)
		{
			/* The statement in which it is used says what it is. */
			to->args[i].form = ASIDE_ARG_NULL;
			if (!PG_ARGISNULL(first + i))
			{
				const char *text = DatumGetCString(PG_GETARG_DATUM(first + i));

				to->args[i].form = ASIDE_ARG_TEXT;
				to->args[i].data.data = (const uint8_t *) text;
				to->args[i].data.len = strlen(text);
			}
			continue;
		}
		refuse_pseudo(type, i + 1);
		get_typlenbyval(type, &len, &byval);
		aside_fill_argument(to, i, type, len, byval, fcinfo->args[first + i].value,
					  PG_ARGISNULL(first + i));
	}
}

/* The arguments of a function from `first` on; elsewhere: they are for another database. */
void
aside_collect_arguments(AsideArguments *to, FunctionCallInfo fcinfo, int first, bool elsewhere)
{
	collect_arguments(to, fcinfo, first);
	if (elsewhere)
		make_text(to);
}

/* A text argument as bytes; NULL is absent. */
aside_bytes
aside_text_argument(FunctionCallInfo fcinfo, int at)
{
	aside_bytes bytes = {NULL, 0};

	if (!PG_ARGISNULL(at))
	{
		text	   *value = PG_GETARG_TEXT_PP(at);

		bytes.data = (const uint8_t *) VARDATA_ANY(value);
		bytes.len = VARSIZE_ANY_EXHDR(value);
	}
	return bytes;
}

static void
describe_caller(aside_identity *who)
{
	Oid			user;
	int			context;

	GetUserIdAndSecContext(&user, &context);
	who->session_user = GetSessionUserId();
	who->role = GetCurrentRoleId();
	who->current_user = user;
	who->security_context = context;
	who->database = MyDatabaseId;
}

/* A request with this session's identity, settings and limits. */
void
aside_fill_call(const AsideRequest *request, aside_call *out)
{
	AsidePool  *serving = aside_worker_pool();
	aside_call	call = {
		.kind = request->kind,
		.output = request->output,
		.database = MyDatabaseId,
		.authenticated_user = GetAuthenticatedUserId(),
		.authenticated_superuser = aside_is_superuser(GetAuthenticatedUserId()),
		.deadlock_timeout_ms = DeadlockTimeout,
		.restricted = InSecurityRestrictedOperation(),
		.held_off = InterruptHoldoffCount > 0 || CritSectionCount > 0,
		.depth = serving == NULL ? 0 : aside_worker_depth(serving->handle),
		.max_depth = aside_max_depth,
		.max_per_role = aside_max_workers_per_role,
		.max_per_session = aside_max_workers_per_session,
		.min_workers = aside_min_workers,
		.checkout_timeout_ms = aside_checkout_timeout,
		.poll_us = aside_poll_time,
		.command = request->command,
		.args = request->arguments == NULL ? NULL : request->arguments->args,
		.nargs = request->arguments == NULL ? 0 : request->arguments->count,
		.columns = request->columns,
		.ncolumns = request->ncolumns,
		.routine = request->routine,
	};

	describe_caller(&call.identity);
	aside_settings_current(&call.settings, &call.settings_version);
	aside_origin_current(&call.origin, &call.origin_version);
	if (request->kind == ASIDE_KIND_TASK)
		aside_origin_of_task(&call.origin, &call.origin_version);
	call.xid = U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
	call.stack = aside_stack_current();
	*out = call;
}

/* Run a request; rows processed. */
uint64
aside_run_request(const AsideRequest *request)
{
	AsidePool  *pool = aside_caller_pool(true);
	aside_ending ending = {0};
	aside_status status;
	aside_call	call;

	aside_fill_call(request, &call);
	status = aside_call_run(pool->handle, aside_get_caller_host(), &call, &ending);
	aside_rows = NULL;
	if (unlikely(status != ASIDE_OK))
		aside_throw_kept();
	/* The rest of this statement sees the objects as the call has left them. */
	AcceptInvalidationMessages();
	return ending.processed;
}

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
	collect_arguments(&arguments, fcinfo, at + 1);
	return aside_run_request(&request);
}

/*
 * The columns that this caller expects, as the worker is told; elsewhere: one
 * in another database, which knows the server's own types only.
 */
aside_column *
aside_expected_columns(TupleDesc desc, bool elsewhere)
{
	aside_column *columns = palloc0(sizeof(aside_column) * Max(desc->natts, 1));

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped)
			continue;
		if (elsewhere && aside_crosses_as_text(att->atttypid, true))
			columns[i].by_text = aside_fixed_styles();
		columns[i].type = columns[i].by_text != 0 ? TEXTOID : att->atttypid;
		columns[i].typmod = columns[i].by_text != 0 ? -1 : att->atttypmod;
		columns[i].name.data = (const uint8_t *) NameStr(att->attname);
		columns[i].name.len = strlen(NameStr(att->attname));
	}
	return columns;
}

/* Run a call whose rows are kept in a tuplestore, which is the function's result. */
static Datum
return_rows(FunctionCallInfo fcinfo, int at, aside_kind kind, aside_output output, TupleDesc desc)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old = MemoryContextSwitchTo(result->econtext->ecxt_per_query_memory);
	AsideRows	rows = {0};

	rows.store = tuplestore_begin_heap((result->allowedModes & SFRM_Materialize_Random) != 0,
									   false, work_mem);
	desc = CreateTupleDescCopy(desc);
	MemoryContextSwitchTo(old);
	rows.slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	aside_rows = &rows;
	(void) run_call(fcinfo, at, kind, output, aside_expected_columns(desc, false), desc->natts);
	ExecDropSingleTupleTableSlot(rows.slot);
	result->returnMode = SFRM_Materialize;
	result->setResult = rows.store;
	result->setDesc = desc;
	return (Datum) 0;
}

void
aside_require_set_context(FunctionCallInfo fcinfo)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	if (result == NULL || !IsA(result, ReturnSetInfo) ||
		(result->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set")));
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

/* What a function that returns records is to return, by its column definition list. */
TupleDesc
aside_wanted_columns(FunctionCallInfo fcinfo)
{
	TupleDesc	desc;

	aside_require_set_context(fcinfo);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("function returning record called in context that cannot accept type record"),
				 errhint("Call it in FROM, with a column definition list.")));
	return desc;
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
