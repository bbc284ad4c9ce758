/*
 * call/convert.c
 *	  Converts rows that the worker has described to the columns that a
 *	  function returns. A value is assigned, or read from text if it came as
 *	  text (call/styles.c).
 *
 * This happens when all rows have come. A cast may do anything, an autonomous
 * call included, and must not do it in the middle of an exchange with the
 * worker.
 */
#include "call/call.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* How one column is converted: NULL cast and not by text: as it is. */
typedef struct Conversion
{
	bool		by_text;
	FmgrInfo	input;
	Oid			io_param;
	int32		typmod;
	ExprState  *cast;
} Conversion;

/* How all columns are. */
typedef struct Conversions
{
	Conversion *columns;
	bool		casts;			/* some are cast */
	uint32		styles;			/* of those that came as text; 0: none is read */
	bool		names;			/* some of them name objects */
} Conversions;

static void
refuse_columns(int came, int wanted)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("command returns another number of columns than expected"),
			 errdetail("It returned %d, and %d are expected.", came, wanted)));
}

static void
prepare_column(Conversion *to, TupleDesc from, int i, Form_pg_attribute wanted, bool is_text)
{
	Form_pg_attribute att = TupleDescAttr(from, i);
	Node	   *value;

	to->by_text = is_text && (att->atttypid != wanted->atttypid || wanted->atttypmod != -1);
	to->typmod = wanted->atttypmod;
	if (to->by_text)
	{
		Oid			function;

		getTypeInputInfo(wanted->atttypid, &function, &to->io_param);
		fmgr_info(function, &to->input);
		return;
	}
	if (att->atttypid == wanted->atttypid &&
		(wanted->atttypmod == -1 || wanted->atttypmod == att->atttypmod))
		return;
	value = (Node *) makeVar(1, i + 1, att->atttypid, att->atttypmod, att->attcollation, 0);
	value = coerce_to_target_type(NULL, value, att->atttypid, wanted->atttypid, wanted->atttypmod,
								  COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);
	if (value == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of the autonomous transaction is of type %s, which cannot be assigned to %s",
						NameStr(att->attname), format_type_be(att->atttypid),
						format_type_be(wanted->atttypid)),
				 errhint("Cast it in the command, or change the expected column.")));
	to->cast = ExecInitExpr(expression_planner((Expr *) value), NULL);
}

static Datum
convert(Conversion *how, TupleTableSlot *slot, int i, ExprContext *econtext, bool *null)
{
	*null = slot->tts_isnull[i];
	if (how->cast != NULL)
		return ExecEvalExpr(how->cast, econtext, null);
	if (!how->by_text)
		return slot->tts_values[i];
	return InputFunctionCall(&how->input, *null ? NULL : TextDatumGetCString(slot->tts_values[i]),
							 how->io_param, how->typmod);
}

/* Casts run under this session's settings. Text is read under the settings that it was written under. */
static void
convert_row(const Conversions *all, TupleTableSlot *slot, int count, ExprContext *econtext,
			Datum *values, bool *nulls)
{
	int			nest;

	for (int i = 0; i < count; i++)
		if (!all->columns[i].by_text)
			values[i] = convert(&all->columns[i], slot, i, econtext, &nulls[i]);
	if (all->styles == 0)
		return;
	nest = all->casts ? aside_enter_styles(all->styles, all->names) : 0;
	for (int i = 0; i < count; i++)
		if (all->columns[i].by_text)
			values[i] = convert(&all->columns[i], slot, i, econtext, &nulls[i]);
	aside_leave_styles(nest);
}

static void
convert_all(AsideRows *rows, const Conversions *all, TupleDesc wanted, Tuplestorestate *out)
{
	ExprContext *econtext = CreateStandaloneExprContext();
	MemoryContext old = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
	int			count = wanted->natts;
	Datum	   *values = MemoryContextAlloc(old, sizeof(Datum) * Max(count, 1));
	bool	   *nulls = MemoryContextAlloc(old, sizeof(bool) * Max(count, 1));
	int			nest = all->styles != 0 && !all->casts ? aside_enter_styles(all->styles, all->names) : 0;

	econtext->ecxt_scantuple = rows->slot;
	while (tuplestore_gettupleslot(rows->store, true, false, rows->slot))
	{
		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(rows->slot);
		convert_row(all, rows->slot, count, econtext, values, nulls);
		tuplestore_putvalues(out, wanted, values, nulls);
		/* A row read back from disk is in this row's memory. */
		ExecClearTuple(rows->slot);
		ResetExprContext(econtext);
	}
	aside_leave_styles(nest);
	MemoryContextSwitchTo(old);
	FreeExprContext(econtext, true);
}

/* Make rows->store, as rows->described and rows->styles say it is, the result of a function. */
Datum
aside_convert_rows(FunctionCallInfo fcinfo, AsideRows *rows, TupleDesc wanted)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	TupleDesc	from = rows->described;
	Conversions all = {.columns = palloc0(sizeof(Conversion) * Max(wanted->natts, 1))};

	if (from->natts != wanted->natts)
		refuse_columns(from->natts, wanted->natts);
	for (int i = 0; i < wanted->natts; i++)
	{
		Conversion *column = &all.columns[i];

		prepare_column(column, from, i, TupleDescAttr(wanted, i), rows->styles[i] != 0);
		all.casts = all.casts || column->cast != NULL;
		if (column->by_text)
		{
			all.styles = rows->styles[i];
			all.names = all.names || aside_names_objects(TupleDescAttr(wanted, i)->atttypid);
		}
	}
	if (all.casts || all.styles != 0)
	{
		MemoryContext old = MemoryContextSwitchTo(rows->context);
		Tuplestorestate *out = tuplestore_begin_heap((result->allowedModes & SFRM_Materialize_Random) != 0,
													 false, work_mem);

		MemoryContextSwitchTo(old);
		convert_all(rows, &all, wanted, out);
		tuplestore_end(rows->store);
		rows->store = out;
	}
	return aside_return_rows(fcinfo, rows, wanted);
}
