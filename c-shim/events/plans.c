/*
 * events/plans.c
 *	  Plans of the queries that a worker runs for events.
 */
#include "events/handler.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "optimizer/cost.h"
#include "utils/plancache.h"
#include "utils/snapmgr.h"

SPIPlanPtr
aside_prepare_plan(const char *query, int nargs, Oid *types)
{
	SPIPlanPtr	plan = SPI_prepare(query, nargs, types);

	if (plan == NULL)
		elog(ERROR, "could not aside_prepare_plan \"%s\": %s", query, SPI_result_code_string(SPI_result));
	return plan;
}

SPIPlanPtr
aside_prepare_kept(const char *query, int nargs, Oid *types)
{
	SPIPlanPtr	plan = aside_prepare_plan(query, nargs, types);

	(void) SPI_keepplan(plan);
	return plan;
}

void
aside_check_handler_code(int code)
{
	if (code == SPI_ERROR_TRANSACTION)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("cannot begin or end transactions in the handler of an event"),
				 errdetail("The handler's transaction is also the one in which its events are acknowledged."),
				 errhint("Use autonomous_exec() for what is to be committed by itself.")));
	if (code == SPI_ERROR_COPY)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot COPY to or from a client in the handler of an event"),
				 errdetail("It has no client.")));
	if (code < 0)
		elog(ERROR, "could not run a handler of events: %s", SPI_result_code_string(code));
}

void
aside_execute_plan(SPIPlanPtr plan, Datum *values, const char *nulls)
{
	aside_check_handler_code(SPI_execute_plan(plan, values, nulls, false, 0));
}

/*
 * Use what is committed now. A transaction that sees only what was there when
 * it began would miss the rows of a table that has been rewritten since.
 */
static void
execute_as_of_now(SPIPlanPtr plan, Datum *values)
{
	if (IsolationUsesXactSnapshot())
		aside_check_handler_code(SPI_execute_snapshot(plan, values, NULL, GetLatestSnapshot(), InvalidSnapshot, false, true, 0));
	else
		aside_execute_plan(plan, values, NULL);
}

/*
 * Run a kept plan that finds rows by their place. A plan that was made while
 * the table was small must not scan it when it is large, and the server may
 * plan again at any time.  No value of a parameter makes another plan better:
 * so the plan is made for all values.
 */
void
aside_execute_by_place(SPIPlanPtr *plan, const char *query, int nargs, Oid *types, Datum *values)
{
	bool		seqscan = enable_seqscan;
	bool		tidscan = enable_tidscan;
	bool		indexscan = enable_indexscan;
	int			mode = plan_cache_mode;

	enable_seqscan = false;
	enable_tidscan = enable_indexscan = true;
	plan_cache_mode = PLAN_CACHE_MODE_FORCE_GENERIC_PLAN;
	PG_TRY();
	{
		if (*plan == NULL)
			*plan = aside_prepare_kept(query, nargs, types);
		execute_as_of_now(*plan, values);
	}
	PG_FINALLY();
	{
		enable_seqscan = seqscan;
		enable_tidscan = tidscan;
		enable_indexscan = indexscan;
		plan_cache_mode = mode;
	}
	PG_END_TRY();
}
