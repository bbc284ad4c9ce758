/*
 * convert.c
 *	  Rows that came as the worker has described them, to what a function is
 *	  to return: assigned, or by way of their text.
 *
 * Done when all rows have come, so that whatever a cast does, a call of ours
 * included, happens outside of the exchange with the worker.
 */
#include "aside.h"

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

/* How one column is converted: NULL cast and no text: as it is. */
typedef struct Conversion
{
	bool		by_text;
	FmgrInfo	output;
	FmgrInfo	input;
	Oid			io_param;
	int32		typmod;
	ExprState  *cast;
} Conversion;

static void
refuse_columns(int came, int wanted)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("command returns another number of columns than expected"),
			 errdetail("It returned %d, and %d are expected.", came, wanted)));
}

static void
prepare_column(Conversion *to, TupleDesc from, int i, Form_pg_attribute wanted, bool by_text)
{
	Form_pg_attribute att = TupleDescAttr(from, i);
	Node	   *value;

	to->by_text = by_text && (att->atttypid != wanted->atttypid || wanted->atttypmod != -1);
	to->typmod = wanted->atttypmod;
	if (to->by_text)
	{
		Oid			function;
		bool		varlena;

		getTypeOutputInfo(att->atttypid, &function, &varlena);
		fmgr_info(function, &to->output);
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
	Datum		value = slot->tts_values[i];
	char	   *text;

	*null = slot->tts_isnull[i];
	if (how->cast != NULL)
		return ExecEvalExpr(how->cast, econtext, null);
	if (!how->by_text)
		return value;
	text = *null ? NULL : OutputFunctionCall(&how->output, value);
	return InputFunctionCall(&how->input, text, how->io_param, how->typmod);
}

static void
convert_all(AsideRows *rows, Conversion *how, TupleDesc wanted, Tuplestorestate *out)
{
	ExprContext *econtext = CreateStandaloneExprContext();
	MemoryContext old = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
	int			count = wanted->natts;
	Datum	   *values = MemoryContextAlloc(old, sizeof(Datum) * Max(count, 1));
	bool	   *nulls = MemoryContextAlloc(old, sizeof(bool) * Max(count, 1));

	econtext->ecxt_scantuple = rows->slot;
	while (tuplestore_gettupleslot(rows->store, true, false, rows->slot))
	{
		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(rows->slot);
		for (int i = 0; i < count; i++)
			values[i] = convert(&how[i], rows->slot, i, econtext, &nulls[i]);
		tuplestore_putvalues(out, wanted, values, nulls);
		/* A row read back from disk is in this row's memory. */
		ExecClearTuple(rows->slot);
		ResetExprContext(econtext);
	}
	MemoryContextSwitchTo(old);
	FreeExprContext(econtext, true);
}

/* Make rows->store, as rows->described says it is, the result of a function; by_text: whatever the types. */
void
aside_return_store(FunctionCallInfo fcinfo, AsideRows *rows, TupleDesc wanted, bool by_text)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	TupleDesc	from = rows->described;
	bool		unchanged = true;
	Conversion *how = palloc0(sizeof(Conversion) * Max(wanted->natts, 1));

	if (from->natts != wanted->natts)
		refuse_columns(from->natts, wanted->natts);
	for (int i = 0; i < wanted->natts; i++)
	{
		prepare_column(&how[i], from, i, TupleDescAttr(wanted, i), by_text || rows->as_text[i]);
		unchanged = unchanged && how[i].cast == NULL && !how[i].by_text;
	}
	if (!unchanged)
	{
		MemoryContext old = MemoryContextSwitchTo(rows->context);
		Tuplestorestate *out = tuplestore_begin_heap((result->allowedModes & SFRM_Materialize_Random) != 0,
													 false, work_mem);

		MemoryContextSwitchTo(old);
		convert_all(rows, how, wanted, out);
		tuplestore_end(rows->store);
		rows->store = out;
	}
	ExecDropSingleTupleTableSlot(rows->slot);
	result->returnMode = SFRM_Materialize;
	result->setResult = rows->store;
	result->setDesc = wanted;
}
