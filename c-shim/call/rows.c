/*
 * call/rows.c
 *	  Rows of an autonomous command at its caller: which columns a SQL
 *	  function expects, where rows go as they come, and how the function
 *	  returns them.
 */
#include "call/call.h"

#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/memutils.h"

AsideRows  *aside_rows = NULL;

/*
 * The columns that this caller expects, as the worker gets them. elsewhere:
 * the worker is in another database, which knows only the server's own types.
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

/* The columns that a function must return, by the column definition list of its call. */
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

/* An empty store in that memory; random: it may be read backwards. */
void
aside_start_store(AsideRows *rows, MemoryContext context, bool random)
{
	MemoryContext old = MemoryContextSwitchTo(context);

	memset(rows, 0, sizeof(*rows));
	rows->context = context;
	rows->store = tuplestore_begin_heap(random, false, work_mem);
	MemoryContextSwitchTo(old);
}

/* An empty store for the rows that this function returns, in its query's memory. */
void
aside_start_rows(FunctionCallInfo fcinfo, AsideRows *rows)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	aside_start_store(rows, result->econtext->ecxt_per_query_memory, (result->allowedModes & SFRM_Materialize_Random) != 0);
}

/* The store is the function's result, as it is. */
Datum
aside_return_rows(FunctionCallInfo fcinfo, AsideRows *rows, TupleDesc desc)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	if (rows->slot != NULL)
		ExecDropSingleTupleTableSlot(rows->slot);
	result->returnMode = SFRM_Materialize;
	result->setResult = rows->store;
	result->setDesc = desc;
	return (Datum) 0;
}

/* A copy that lasts as long as the store. */
TupleDesc
aside_keep_columns(AsideRows *rows, TupleDesc desc)
{
	MemoryContext old = MemoryContextSwitchTo(rows->context);

	desc = CreateTupleDescCopy(desc);
	MemoryContextSwitchTo(old);
	return desc;
}

/* Rows come in these columns. */
void
aside_expect_rows(AsideRows *rows, const aside_column *columns, TupleDesc wanted)
{
	MemoryContext old = MemoryContextSwitchTo(rows->context);

	rows->described = CreateTupleDescCopy(wanted);
	rows->styles = palloc0(sizeof(uint32) * Max(wanted->natts, 1));
	for (int i = 0; i < wanted->natts; i++)
	{
		rows->styles[i] = columns[i].by_text;
		if (rows->styles[i] != 0)
			TupleDescInitEntry(rows->described, i + 1, NameStr(TupleDescAttr(wanted, i)->attname),
							   TEXTOID, -1, 0);
	}
	TupleDescFinalize(rows->described);
	rows->slot = MakeSingleTupleTableSlot(rows->described, &TTSOpsMinimalTuple);
	MemoryContextSwitchTo(old);
}

aside_status
aside_host_row(aside_bytes tuple)
{
	aside_status status = ASIDE_OK;

	if (aside_rows == NULL || aside_rows->peek)
		return ASIDE_OK;
	ASIDE_TRY(status);
	{
		if (aside_rows->store == NULL)
			aside_rows->single = aside_copy_minimal_tuple((MinimalTuple) tuple.data);
		else
		{
			ExecStoreMinimalTuple((MinimalTuple) tuple.data, aside_rows->slot, false);
			tuplestore_puttupleslot(aside_rows->store, aside_rows->slot);
		}
	}
	ASIDE_END_TRY();
	return status;
}

aside_status
aside_host_texts(aside_bytes tuple, size_t columns, aside_bytes *out)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		TupleDesc	desc = CreateTemplateTupleDesc(columns);
		TupleTableSlot *slot;

		for (size_t i = 0; i < columns; i++)
			TupleDescInitEntry(desc, i + 1, NULL, TEXTOID, -1, 0);
		TupleDescFinalize(desc);
		slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
		ExecStoreMinimalTuple((MinimalTuple) tuple.data, slot, false);
		slot_getallattrs(slot);
		for (size_t i = 0; i < columns; i++)
		{
			text	   *value = slot->tts_isnull[i] ? NULL : DatumGetTextPP(slot->tts_values[i]);

			out[i].data = value == NULL ? NULL : (const uint8_t *) VARDATA_ANY(value);
			out[i].len = value == NULL ? 0 : VARSIZE_ANY_EXHDR(value);
		}
		ExecDropSingleTupleTableSlot(slot);
	}
	ASIDE_END_TRY();
	return status;
}

/* Only the result that follows is kept. */
aside_status
aside_host_describe(const aside_column *columns, size_t count)
{
	aside_status status = ASIDE_OK;

	if (aside_rows == NULL || aside_rows->store == NULL)
		return ASIDE_OK;
	ASIDE_TRY(status);
	{
		MemoryContext old = MemoryContextSwitchTo(aside_rows->context);
		TupleDesc	desc = CreateTemplateTupleDesc(count);

		aside_rows->fresh = false;
		aside_rows->styles = palloc0(sizeof(uint32) * Max(count, 1));
		for (size_t i = 0; i < count; i++)
		{
			const aside_column *column = &columns[i];

			TupleDescInitEntry(desc, i + 1, pnstrdup((const char *) column->name.data, column->name.len),
							   column->type, column->typmod, 0);
			aside_rows->styles[i] = column->by_text;
		}
		TupleDescFinalize(desc);
		if (aside_rows->slot != NULL)
			ExecDropSingleTupleTableSlot(aside_rows->slot);
		aside_rows->slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
		aside_rows->described = desc;
		tuplestore_clear(aside_rows->store);
		MemoryContextSwitchTo(old);
	}
	ASIDE_END_TRY();
	return status;
}

aside_status
aside_host_complete(const aside_ending *ending)
{
	aside_status status = ASIDE_OK;

	if (aside_rows == NULL || (aside_rows->store == NULL && !aside_rows->peek))
		return ASIDE_OK;
	ASIDE_TRY(status);
	{
		MemoryContext old = MemoryContextSwitchTo(aside_rows->context);

		if (aside_rows->fresh || aside_rows->peek)
			aside_rows->tags = lappend(aside_rows->tags, pnstrdup(ending->tag, ending->tag_len));
		aside_rows->fresh = true;
		MemoryContextSwitchTo(old);
	}
	ASIDE_END_TRY();
	return status;
}
