/*
 * sql/parallel.c
 *	  The SQL functions that run a query over the chunks of a table, and tell
 *	  whether a command is a query.
 */
#include "call/call.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "nodes/parsenodes.h"
#include "tcop/tcopprot.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(aside_parallel_query);
PG_FUNCTION_INFO_V1(aside_parallel_reads);

/* Arguments of the function, by their places. */
enum
{
	QUERY, TARGET, CHUNK_BY, CHUNK_QUERY, CHUNK_COLUMN, CHUNK_ROWS, WORKERS
};

static void
take_split(aside_parallel *plan, Datum split)
{
	Datum	   *parts;
	int			count;
	aside_bytes *bytes;

	deconstruct_array(DatumGetArrayTypePCopy(split), TEXTOID, -1, false, TYPALIGN_INT, &parts, NULL, &count);
	bytes = palloc(sizeof(aside_bytes) * count);
	for (int i = 0; i < count; i++)
	{
		text	   *part = DatumGetTextPP(parts[i]);

		bytes[i].data = (const uint8_t *) VARDATA_ANY(part);
		bytes[i].len = VARSIZE_ANY_EXHDR(part);
	}
	plan->split = bytes;
	plan->nsplit = count;
}

/* How the target is cut, as aside.parallel_target() says, which raises why it cannot be. */
static void
ask_for_split(FunctionCallInfo fcinfo, aside_parallel *plan)
{
	Oid			types[4] = {REGCLASSOID, TEXTOID, TEXTOID, NAMEOID};
	Datum		values[4];
	char		nulls[4];
	MemoryContext own = CurrentMemoryContext;
	MemoryContext spi;
	TupleDesc	desc;
	HeapTuple	row;
	bool		null;

	for (int i = 0; i < 4; i++)
	{
		values[i] = PG_GETARG_DATUM(TARGET + i);
		nulls[i] = PG_ARGISNULL(TARGET + i) ? 'n' : ' ';
	}
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (SPI_execute_with_args("SELECT split, low_type, high_type, coalesce(rows, 0),"
							  " CASE WHEN split[1] = 'partition' THEN 1 ELSE 2 END"
							  " FROM aside.parallel_target($1, $2, $3, $4, true)", 4, types, values, nulls, true, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not ask how a table is cut into chunks");
	row = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	spi = MemoryContextSwitchTo(own);
	take_split(plan, SPI_getbinval(row, desc, 1, &null));
	MemoryContextSwitchTo(spi);
	plan->bounds[0] = DatumGetObjectId(SPI_getbinval(row, desc, 2, &null));
	plan->bounds[1] = DatumGetObjectId(SPI_getbinval(row, desc, 3, &null));
	plan->rows = DatumGetInt64(SPI_getbinval(row, desc, 4, &null));
	plan->nbounds = DatumGetInt32(SPI_getbinval(row, desc, 5, &null));
	SPI_finish();
}

static void
check_number(FunctionCallInfo fcinfo, int at, const char *name)
{
	if (!PG_ARGISNULL(at) && PG_GETARG_INT32(at) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be positive", name)));
}

/*
 * parallel_query(query text, target regclass, chunk_by text, chunk_query text, chunk_column name, chunk_rows int, workers int)
 * returns setof record
 */
Datum
aside_parallel_query(PG_FUNCTION_ARGS)
{
	TupleDesc	desc = aside_wanted_columns(fcinfo);
	aside_column answer[4] = {{.type = TEXTOID, .typmod = -1}, {.type = TEXTOID, .typmod = -1},
	{.type = TEXTOID, .typmod = -1}, {.type = TEXTOID, .typmod = -1}};
	aside_parallel plan = {.answer = answer, .nanswer = lengthof(answer)};
	AsideRequest request = {.kind = ASIDE_KIND_QUERY, .output = ASIDE_OUTPUT_ROWS};
	AsideRows	rows;
	aside_call	call;

	aside_refuse_if_restricted("a parallel query");
	if (PG_ARGISNULL(QUERY) || PG_ARGISNULL(WORKERS))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s of a parallel query must not be null", PG_ARGISNULL(QUERY) ? "query" : "number of workers")));
	check_number(fcinfo, CHUNK_ROWS, "chunk_rows");
	check_number(fcinfo, WORKERS, "workers");
	plan.chunk_rows = PG_ARGISNULL(CHUNK_ROWS) ? 0 : PG_GETARG_INT32(CHUNK_ROWS);
	plan.workers = PG_GETARG_INT32(WORKERS);
	ask_for_split(fcinfo, &plan);
	aside_start_rows(fcinfo, &rows);
	desc = aside_keep_columns(&rows, desc);
	rows.slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	request.command = aside_text_argument(fcinfo, QUERY);
	request.columns = aside_expected_columns(desc, false);
	request.ncolumns = desc->natts;
	aside_fill_call(&request, &call);
	call.snapshot = aside_own_snapshot();
	aside_rows = &rows;
	aside_finish(aside_parallel_run(aside_caller_pool(true)->handle, aside_get_caller_host(), &call, &plan));
	return aside_return_rows(fcinfo, &rows, desc);
}

/* A query that writes nothing by itself. Where it may be, WITH is at its top. */
static bool
only_reads(Node *statement)
{
	SelectStmt *query = (SelectStmt *) statement;
	ListCell   *cell;

	if (IsA(statement, VariableSetStmt))
		return true;
	if (!IsA(statement, SelectStmt) || query->intoClause != NULL || query->lockingClause != NIL)
		return false;
	if (query->withClause == NULL)
		return true;
	foreach(cell, query->withClause->ctes)
		if (!IsA(lfirst_node(CommonTableExpr, cell)->ctequery, SelectStmt))
			return false;
	return true;
}

/* aside.parallel_reads(command text) returns boolean */
Datum
aside_parallel_reads(PG_FUNCTION_ARGS)
{
	ListCell   *cell;

	foreach(cell, pg_parse_query(text_to_cstring(PG_GETARG_TEXT_PP(0))))
		if (!only_reads(lfirst_node(RawStmt, cell)->stmt))
			PG_RETURN_BOOL(false);
	PG_RETURN_BOOL(true);
}
