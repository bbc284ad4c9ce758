/*
 * coordinator/statement.c
 *	  Statements that a coordinator runs often, and their parameters.
 */
#include "coordinator/statement.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

/*
 * It is prepared when it runs for the first time; the types of its parameters
 * are always the same. The plan is made for all values: one for the values at
 * hand may look cheaper each time, and would be made each time.
 */
static void
execute(AsideStatement *statement, AsideParameters *parameters, bool read_only, size_t limit)
{
	int			code;

	if (statement->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare_cursor(statement->text, parameters->count, parameters->types, CURSOR_OPT_GENERIC_PLAN);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare \"%s\": %s", statement->text, SPI_result_code_string(SPI_result));
		statement->plan = plan;
	}
	code = SPI_execute_plan(statement->plan, parameters->values, parameters->nulls, read_only, Min(limit, INT_MAX));
	if (code < 0)
		elog(ERROR, "could not run \"%s\": %s", statement->text, SPI_result_code_string(code));
}

/* Runs a statement. */
void
aside_run_statement(AsideStatement *statement, AsideParameters *parameters)
{
	execute(statement, parameters, false, 0);
}

/* Reads by the snapshot that is active, and so many rows at most. */
void
aside_read_statement(AsideStatement *statement, AsideParameters *parameters, size_t limit)
{
	execute(statement, parameters, true, limit);
}

void
aside_add_value(AsideParameters *to, Oid type, Datum value, bool null)
{
	Assert(to->count < ASIDE_MOST_PARAMETERS);
	to->types[to->count] = type;
	to->values[to->count] = null ? (Datum) 0 : value;
	to->nulls[to->count++] = null ? 'n' : ' ';
}

void
aside_add_number(AsideParameters *to, int64 number)
{
	aside_add_value(to, INT8OID, Int64GetDatum(number), false);
}

void
aside_add_number_or_null(AsideParameters *to, int64 number, bool null)
{
	aside_add_value(to, INT8OID, Int64GetDatum(number), null);
}

void
aside_add_int(AsideParameters *to, int32 number)
{
	aside_add_value(to, INT4OID, Int32GetDatum(number), false);
}

/* 0 is NULL: nobody knows the process. */
void
aside_add_pid(AsideParameters *to, uint32 pid)
{
	aside_add_value(to, INT4OID, Int32GetDatum(pid), pid == 0);
}

void
aside_add_bool(AsideParameters *to, bool value)
{
	aside_add_value(to, BOOLOID, BoolGetDatum(value), false);
}

void
aside_add_time(AsideParameters *to, int64 at)
{
	aside_add_value(to, TIMESTAMPTZOID, TimestampTzGetDatum(at), at == ASIDE_NO_TIME);
}

void
aside_add_string(AsideParameters *to, const char *text)
{
	aside_add_value(to, TEXTOID, text == NULL ? (Datum) 0 : CStringGetTextDatum(text), text == NULL);
}

void
aside_add_text(AsideParameters *to, aside_bytes text)
{
	aside_add_value(to, TEXTOID, text.data == NULL ? (Datum) 0 : aside_bytes_datum(text), text.data == NULL);
}

/* A text that a worker has said. An empty one is NULL. The core may have cut the text in the middle of a character. */
void
aside_add_said(AsideParameters *to, aside_bytes text)
{
	if (text.len == 0)
		text.data = NULL;
	else
		text.len = pg_mbcliplen((const char *) text.data, text.len, text.len);
	aside_add_text(to, text);
}

void
aside_add_numbers(AsideParameters *to, const int64_t *numbers, size_t count)
{
	aside_add_value(to, INT8ARRAYOID, aside_event_array(numbers, count), false);
}

void
aside_add_texts(AsideParameters *to, Datum array)
{
	aside_add_value(to, TEXTARRAYOID, array, false);
}
