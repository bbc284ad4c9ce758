/*
 * call/arguments.c
 *	  Arguments of autonomous commands: this file collects them from a SQL
 *	  function's call, makes them fit for another process, and reads them
 *	  there.
 */
#include "call/call.h"

#include "access/detoast.h"
#include "access/transam.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

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

/* Make one argument ready for another process: no part of it stays in a toast table. */
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
				 errdetail("%d were given; the limit, as in the protocol, is %d.", count, ASIDE_MOST_VALUES),
				 errhint("Pass an array as one argument, without VARIADIC.")));
	deconstruct_array(array, ARR_ELEMTYPE(array), len, byval, align, &elements, &nulls, &count);
	aside_allocate_arguments(to, count);
	for (int i = 0; i < count; i++)
		aside_fill_argument(to, i, ARR_ELEMTYPE(array), len, byval, elements[i], nulls[i]);
}

/* The value of an argument that is not NULL. */
Datum
aside_argument_datum(const aside_arg *arg, Oid type)
{
	switch (arg->form)
	{
		case ASIDE_ARG_BYVAL:
			{
				Datum		value;

				memcpy(&value, arg->data.data, sizeof(value));
				return value;
			}
		case ASIDE_ARG_TEXT:
			{
				Oid			input;
				Oid			io_param;
				char	   *text = pnstrdup((const char *) arg->data.data, arg->data.len);

				getTypeInputInfo(type, &input, &io_param);
				return OidInputFunctionCall(input, text, io_param, -1);
			}
		default:
			/* The bytes are aligned as the caller's process laid them out, and stay until the request ends. */
			return PointerGetDatum(arg->data.data);
	}
}

/* A type that only this database knows means nothing in another one, but its text does. */
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
		/* Every database knows the server's own types. */
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
			/* The statement that uses the argument decides its type. */
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

/* Collect the arguments of a function from `first` on. elsewhere: they are for another database. */
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

/* How long to wait, in microseconds; -1: NULL. Months are of 30 days, as extract(epoch) has it. */
int64
aside_patience(FunctionCallInfo fcinfo, int at)
{
	Interval   *interval;
	double		us;

	if (PG_ARGISNULL(at))
		return -1;
	interval = PG_GETARG_INTERVAL_P(at);
	us = (double) interval->time + ((double) interval->day + 30.0 * interval->month) * USECS_PER_DAY;
	if (us <= 0)
		return 0;
	return us > 1e18 ? -1 : (int64) us;
}
