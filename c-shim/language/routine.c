/*
 * language/routine.c
 *	  What both sides of plpgsql_autonomous do for a routine: they name it,
 *	  and send its result.
 */
#include "language/routine.h"
#include "module/module.h"
#include "worker/worker.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

void
aside_refuse_unseen(int sqlstate, const char *what)
{
	ereport(ERROR,
			(errcode(sqlstate),
			 errmsg("%s does not exist for the autonomous transaction as its caller sees it", what),
			 errdetail("It was created or changed by a transaction that has not committed."),
			 errhint("Commit that transaction before the autonomous function is called.")));
}

/* Describe the routine. Raises an error unless other transactions see it as this one does. */
void
aside_describe_routine(AsideRoutine *out, Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	if (TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data)))
		aside_refuse_unseen(ERRCODE_UNDEFINED_FUNCTION,
							psprintf("function %s", quote_identifier(NameStr(((Form_pg_proc) GETSTRUCT(tuple))->proname))));
	out->function = function;
	out->error_if_uncommitted = aside_uncommitted_at_exit == ASIDE_EXIT_ERROR;
	ReleaseSysCache(tuple);
}

/* The one row of a result that is no set. */
void
aside_send_result(const AsideRoutineCall *call, Datum *values, bool *nulls)
{
	TupleDesc	desc = CreateTemplateTupleDesc(call->ncolumns);

	for (size_t i = 0; i < call->ncolumns; i++)
		TupleDescInitEntry(desc, i + 1, NULL, call->columns[i].type == 0 ? INT4OID : call->columns[i].type,
						   call->columns[i].typmod, 0);
	TupleDescFinalize(desc);
	aside_send_values(call->sink, desc, values, nulls);
}
