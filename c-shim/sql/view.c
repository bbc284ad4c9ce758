/*
 * sql/view.c
 *	  The functions behind the views aside.workers and aside.stat.
 */
#include "call/call.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(aside_workers);
PG_FUNCTION_INFO_V1(aside_stat);

#define WORKER_COLUMNS 13
#define STAT_COLUMNS 9

/* The transaction that a worker runs, if it has an id by now; 0 if not. */
static uint64
running_transaction(uint32 pid)
{
	PGPROC	   *proc = BackendPidGetProc(pid);
	TransactionId xid = proc == NULL ? InvalidTransactionId : proc->xid;
	FullTransactionId next = ReadNextFullTransactionId();
	uint32		epoch = EpochFromFullTransactionId(next);

	if (!TransactionIdIsNormal(xid))
		return 0;
	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return U64FromFullTransactionId(FullTransactionIdFromEpochAndXid(epoch, xid));
}

static void
put(Datum *values, bool *nulls, int i, bool known, Datum value)
{
	values[i] = value;
	nulls[i] = !known;
}

static void
put_worker(ReturnSetInfo *result, int slot, const aside_worker_row *row)
{
	static const char *const states[] = {ASIDE_SLOT_STATES(ASIDE_NAMED)};
	char	   *database = get_database_name(row->database);
	char	   *user = GetUserNameFromId(row->user, true);
	uint64		xid = row->pid != 0 ? running_transaction(row->pid) : 0;
	Datum		values[WORKER_COLUMNS];
	bool		nulls[WORKER_COLUMNS];
	int			i = 0;

	put(values, nulls, i++, true, Int32GetDatum(slot));
	put(values, nulls, i++, row->pid != 0, Int32GetDatum(row->pid));
	put(values, nulls, i++, true, CStringGetTextDatum(states[row->state % lengthof(states)]));
	put(values, nulls, i++, database != NULL,
		database == NULL ? (Datum) 0 : DirectFunctionCall1(namein, CStringGetDatum(database)));
	put(values, nulls, i++, user != NULL,
		user == NULL ? (Datum) 0 : DirectFunctionCall1(namein, CStringGetDatum(user)));
	put(values, nulls, i++, row->caller_pid != 0, Int32GetDatum(row->caller_pid));
	put(values, nulls, i++, row->depth != 0, Int32GetDatum(row->depth));
	put(values, nulls, i++, xid != 0, Int64GetDatum(xid));
	put(values, nulls, i++, true, Int64GetDatum(row->calls));
	put(values, nulls, i++, true, Int64GetDatum(row->errors));
	put(values, nulls, i++, row->pid != 0, TimestampTzGetDatum(row->started));
	put(values, nulls, i++, row->pid != 0, TimestampTzGetDatum(row->last_used));
	put(values, nulls, i++, true, Int64GetDatum(row->generation));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Of the cluster if the module is preloaded, else of this session. */
Datum
aside_workers(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	AsidePool  *pool = aside_caller_pool(false);
	aside_worker_row row;

	aside_begin_rows(fcinfo);
	for (uint32 slot = 0; pool != NULL && slot < pool->slots; slot++)
		if (aside_view_worker(pool->handle, slot, &row))
			put_worker(result, slot, &row);
	return (Datum) 0;
}

static Datum
histogram_datum(const aside_stat_row *row)
{
	Datum		buckets[ASIDE_BUCKETS];

	for (int i = 0; i < ASIDE_BUCKETS; i++)
		buckets[i] = Int64GetDatum(row->histogram[i]);
	return PointerGetDatum(construct_array(buckets, ASIDE_BUCKETS, INT8OID, sizeof(int64),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* Of the cluster if the module is preloaded, else of this session. */
Datum
aside_stat(PG_FUNCTION_ARGS)
{
	static const char *const kinds[] = {ASIDE_KINDS_OF_CALL(ASIDE_NAMED)};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	AsidePool  *pool = aside_caller_pool(false);

	aside_begin_rows(fcinfo);
	for (int kind = 0; kind < ASIDE_KINDS; kind++)
	{
		Datum		values[STAT_COLUMNS];
		bool		nulls[STAT_COLUMNS] = {false};
		aside_stat_row row = {0};

		if (pool != NULL)
			(void) aside_view_stat(pool->handle, kind, &row);
		values[0] = CStringGetTextDatum(kinds[kind]);
		values[1] = Int64GetDatum(row.calls);
		values[2] = Int64GetDatum(row.errors);
		values[3] = Int64GetDatum(row.cancelled);
		values[4] = Int64GetDatum(row.rows);
		values[5] = Int64GetDatum(row.waits);
		values[6] = Float8GetDatum(row.wait_us / 1000.0);
		values[7] = Float8GetDatum(row.total_us / 1000.0);
		values[8] = histogram_datum(&row);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
