/*
 * worker/receiver.c
 *	  Receives the rows of a command, converts them to the columns that the
 *	  caller expects, and sends them (worker/send.c).
 *
 * The conversion happens before the commit. So a command whose rows the caller
 * cannot take leaves nothing behind.
 */
#include "call/call.h"
#include "worker/worker.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/* Number of row shapes that this process has registered with the server, which never forgets one. */
int			aside_row_shapes = 0;

typedef struct Receiver
{
	DestReceiver pub;
	void	   *sink;
	TupleDesc	out;			/* what the caller expects */
	bool		unchanged;		/* rows fit as they are */
	ExprState **casts;			/* NULL: a dropped column */
	uint32	   *styles;			/* of columns that go as text */
	uint32		exact;			/* one of those: text that is not this session's; 0: none is */
	bool		names;			/* some of them name objects */
	ExprContext *econtext;
	FmgrInfo	to_jsonb;
	TupleDesc	record;			/* of the rows, blessed, for to_jsonb */
	MemoryContext row_context;
} Receiver;

/* Cast the columns that go under these styles. 0: under this session's settings. */
static void
cast_columns(Receiver *self, uint32 styles, Datum *values, bool *nulls)
{
	for (int i = 0; i < self->out->natts; i++)
		if (self->casts[i] != NULL && self->styles[i] == styles)
			values[i] = ExecEvalExpr(self->casts[i], self->econtext, &nulls[i]);
}

static void
send_converted(Receiver *self, TupleTableSlot *slot)
{
	int			count = self->out->natts;
	Datum	   *values = palloc(sizeof(Datum) * count);
	bool	   *nulls = palloc(sizeof(bool) * count);

	self->econtext->ecxt_scantuple = slot;
	memset(nulls, true, sizeof(bool) * count);
	memset(values, 0, sizeof(Datum) * count);
	cast_columns(self, 0, values, nulls);
	if (self->exact != 0)
	{
		int			nest = aside_enter_styles(self->exact, self->names);

		cast_columns(self, self->exact, values, nulls);
		aside_leave_styles(nest);
	}
	aside_send_values(self->sink, self->out, values, nulls);
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *receiver)
{
	Receiver   *self = (Receiver *) receiver;
	MemoryContext old = MemoryContextSwitchTo(self->row_context);

	if (self->unchanged)
		aside_send_slot(self->sink, slot);
	else
		send_converted(self, slot);
	MemoryContextSwitchTo(old);
	MemoryContextReset(self->row_context);
	return true;
}

static bool
receive_json(TupleTableSlot *slot, DestReceiver *receiver)
{
	Receiver   *self = (Receiver *) receiver;
	MemoryContext old = MemoryContextSwitchTo(self->row_context);
	HeapTuple	row;
	Datum		value;
	bool		null = false;

	slot_getallattrs(slot);
	row = heap_form_tuple(self->record, slot->tts_values, slot->tts_isnull);
	value = FunctionCall1(&self->to_jsonb, HeapTupleGetDatum(row));
	aside_send_tuple(self->sink, aside_form_minimal_tuple(self->out, &value, &null));
	MemoryContextSwitchTo(old);
	MemoryContextReset(self->row_context);
	return true;
}

static void
ignore_startup(DestReceiver *receiver, int operation, TupleDesc desc)
{
}

static void
ignore_shutdown(DestReceiver *receiver)
{
}

static void
destroy(DestReceiver *receiver)
{
	Receiver   *self = (Receiver *) receiver;

	MemoryContextDelete(self->row_context);
	pfree(self);
}

static char *
name_of(const aside_column *column)
{
	return pnstrdup((const char *) column->name.data, column->name.len);
}

static void
refuse_count(TupleDesc returned, const aside_column *columns, int expected, int nth)
{
	bool		missing = nth >= returned->natts;
	char	   *name = NULL;

	for (int i = 0, live = 0; i < expected && missing; i++)
		if (columns[i].type != 0 && live++ == nth)
			name = name_of(&columns[i]);
	if (!missing)
		name = NameStr(TupleDescAttr(returned, nth)->attname);
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("command returns another number of columns than expected"),
			 missing ?
			 errdetail("Nothing is returned for expected column \"%s\".", name) :
			 errdetail("Nothing is expected for returned column \"%s\".", name)));
}

/* A row of no named type means something in the process that made it only. */
static void
refuse_anonymous(Oid type, const char *name)
{
	if (type == RECORDOID || type == RECORDARRAYOID)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" of an autonomous transaction cannot be of type %s",
						name, format_type_be(type)),
				 errhint("Cast it to a named composite type.")));
}

/* By output and input functions; one of both types is text. */
Node *
aside_text_cast(Node *value, Oid from, Oid to)
{
	CoerceViaIO *cast;

	if (from == to)
		return value;
	cast = makeNode(CoerceViaIO);
	cast->arg = (Expr *) value;
	cast->resulttype = to;
	cast->resultcollid = get_typcollation(to);
	cast->coerceformat = COERCE_IMPLICIT_CAST;
	cast->location = -1;
	return (Node *) cast;
}

static ExprState *
make_cast(TupleDesc returned, int from, const aside_column *to, const char *name)
{
	Form_pg_attribute att = TupleDescAttr(returned, from);
	Node	   *expr = (Node *) makeVar(1, from + 1, att->atttypid, att->atttypmod,
										att->attcollation, 0);

	if (to->by_text)
		return ExecInitExpr(expression_planner((Expr *) aside_text_cast(expr, att->atttypid, TEXTOID)), NULL);
	expr = coerce_to_target_type(NULL, expr, att->atttypid, to->type, to->typmod,
								 COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);
	if (expr == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of the autonomous transaction is of type %s, which cannot be assigned to %s",
						name, format_type_be(att->atttypid), format_type_be(to->type)),
				 errhint("Cast it in the command, or change the expected column.")));
	return ExecInitExpr(expression_planner((Expr *) expr), NULL);
}

static void
set_up_rows(Receiver *self, TupleDesc returned, const aside_column *columns, int count)
{
	int			live = 0;

	self->out = CreateTemplateTupleDesc(count);
	self->unchanged = true;
	for (int i = 0; i < count; i++)
		live += columns[i].type != 0;
	if (live != returned->natts)
		refuse_count(returned, columns, count, Min(live, returned->natts));
	for (int i = 0, from = 0; i < count; i++)
	{
		bool		dropped = columns[i].type == 0;
		char	   *name = dropped ? NULL : name_of(&columns[i]);

		if (!dropped)
		{
			Form_pg_attribute att = TupleDescAttr(returned, from++);

			aside_check_type_visible(columns[i].type, "column", name);
			refuse_anonymous(columns[i].type, name);
			if (att->atttypid == columns[i].type &&
				(columns[i].typmod == -1 || columns[i].typmod == att->atttypmod))
			{
				TupleDescInitEntry(self->out, i + 1, name, columns[i].type, columns[i].typmod, 0);
				continue;
			}
		}
		self->unchanged = false;
		TupleDescInitEntry(self->out, i + 1, name, dropped ? INT4OID : columns[i].type,
						   columns[i].typmod, 0);
	}
	TupleDescFinalize(self->out);
	if (self->unchanged)
		return;
	self->casts = palloc0(sizeof(ExprState *) * count);
	self->styles = palloc0(sizeof(uint32) * count);
	self->econtext = CreateStandaloneExprContext();
	/* What a cast allocates is the row's. */
	MemoryContextDelete(self->econtext->ecxt_per_tuple_memory);
	self->econtext->ecxt_per_tuple_memory = self->row_context;
	for (int i = 0, from = 0; i < count; i++)
		if (columns[i].type != 0)
		{
			self->casts[i] = make_cast(returned, from, &columns[i], name_of(&columns[i]));
			if (columns[i].by_text == aside_fixed_styles())
			{
				self->exact = self->styles[i] = columns[i].by_text;
				self->names = self->names || aside_names_objects(TupleDescAttr(returned, from)->atttypid);
			}
			from++;
		}
}

static void
set_up_json(Receiver *self, TupleDesc returned)
{
	Node	   *arg = (Node *) makeNullConst(RECORDOID, -1, InvalidOid);

	self->out = CreateTemplateTupleDesc(1);
	TupleDescInitEntry(self->out, 1, "autonomous_json", JSONBOID, -1, 0);
	TupleDescFinalize(self->out);
	self->record = BlessTupleDesc(CreateTupleDescCopy(returned));
	/* They are numbered as they come. */
	aside_row_shapes = Max(aside_row_shapes, self->record->tdtypmod);
	fmgr_info(F_TO_JSONB, &self->to_jsonb);
	self->to_jsonb.fn_expr = (Node *) makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(arg),
												   InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
}

/*
 * The columns of a described result. Whoever reads the result comes later,
 * perhaps in another database, and by then a type of this database may have
 * changed. A domain's values cross as those of its base type.
 */
static aside_column *
own_columns(TupleDesc returned, uint32 output)
{
	aside_column *columns = palloc0(sizeof(aside_column) * Max(returned->natts, 1));
	bool		elsewhere = aside_caller_is_elsewhere() || aside_worker_task(aside_worker_pool()->handle) != 0;

	for (int i = 0; i < returned->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(returned, i);

		columns[i].type = att->atttypid;
		columns[i].typmod = att->atttypmod;
		columns[i].name = aside_text_bytes(NameStr(att->attname));
		if (output == ASIDE_OUTPUT_TEXT)
			columns[i].by_text = aside_own_styles();
		else
		{
			columns[i].type = getBaseTypeAndTypmod(att->atttypid, &columns[i].typmod);
			if (aside_crosses_as_text(columns[i].type, elsewhere) || aside_sees_type_alone(columns[i].type))
				columns[i].by_text = aside_fixed_styles();
		}
		if (columns[i].by_text != 0)
		{
			columns[i].type = TEXTOID;
			columns[i].typmod = -1;
		}
	}
	return columns;
}

static void
describe(void *sink, const aside_column *columns, int count)
{
	aside_status status = aside_sink_describe(sink, columns, count);

	if (status != ASIDE_OK)
		aside_refuse_reply(status);
}

/* A receiver in the current context. Raises 42804 if the rows cannot be what the caller expects. */
DestReceiver *
aside_create_receiver(TupleDesc returned, uint32 output,
					  const aside_column *columns, size_t ncolumns, void *sink)
{
	Receiver   *self = palloc0(sizeof(Receiver));

	self->pub.receiveSlot = output == ASIDE_OUTPUT_JSON ? receive_json : receive_row;
	self->pub.rStartup = ignore_startup;
	self->pub.rShutdown = ignore_shutdown;
	self->pub.rDestroy = destroy;
	self->pub.mydest = DestTupleQueue;
	self->sink = sink;
	self->row_context = AllocSetContextCreate(CurrentMemoryContext, "pg_aside row",
											  ALLOCSET_DEFAULT_SIZES);
	if (output == ASIDE_OUTPUT_JSON)
		set_up_json(self, returned);
	else if (output == ASIDE_OUTPUT_DESCRIBED || output == ASIDE_OUTPUT_TEXT)
	{
		aside_column *own = own_columns(returned, output);

		set_up_rows(self, returned, own, returned->natts);
		describe(sink, own, returned->natts);
	}
	else
		set_up_rows(self, returned, columns, ncolumns);
	return &self->pub;
}
