/*
 * coordinator/work.c
 *	  How a coordinator works in its database. Each question of the core is a
 *	  transaction of its own and runs queries; the core borrows the result.
 */
#include "coordinator/work.h"
#include "events/events.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* Memory that the core borrows until its next call. */
MemoryContext aside_lent = NULL;

/*
 * The tables that this coordinator began with. If the extension is created
 * anew, another coordinator serves its tables.
 */
static Oid	tables = InvalidOid;
static bool replaced = false;

bool
aside_tables_replaced(void)
{
	return replaced;
}

/* Within a transaction, before any work. */
void
aside_begin_with_tables(void)
{
	tables = aside_hold_tables();
}

Oid
aside_tables_of_coordinator(void)
{
	return tables;
}

static void
hold_tables(void)
{
	Oid			here = aside_hold_tables();

	if (OidIsValid(here) && here == tables)
		return;
	replaced = OidIsValid(here);
	aside_refuse_missing_tables();
}

/* Within a transaction that holds the tables: what follows is done as their owner, by queries. */
void
aside_enter_work(void)
{
	/*
	 * The owner of the tables may have put triggers on them, and this process
	 * is a superuser's. So it works as that owner, and so do deferred
	 * triggers.
	 */
	SetUserIdAndSecContext(aside_events_owner(), SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	PushActiveSnapshot(GetTransactionSnapshot());
}

void
aside_begin_work(void)
{
	if (aside_lent == NULL)
		aside_lent = AllocSetContextCreate(TopMemoryContext, "pg_aside events", ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(aside_lent);
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	hold_tables();
	aside_enter_work();
}

void
aside_end_work(void)
{
	PopActiveSnapshot();
	SPI_finish();
	CommitTransactionCommand();
	/* An abort does this by itself. */
	SetUserIdAndSecContext(GetOuterUserId(), 0);
	(void) pgstat_report_stat(false);
}

/* After an error within: nothing of it stays. */
void
aside_drop_work(aside_status status)
{
	if (status != ASIDE_OK)
		AbortOutOfAnyTransaction();
}

void
aside_run_query(const char *query, int nargs, Oid *types, Datum *values, const char *nulls, int expected)
{
	int			code = SPI_execute_with_args(query, nargs, types, values, nulls, false, 0);

	if (code != expected)
		elog(ERROR, "could not run \"%s\": %s", query, SPI_result_code_string(code));
}

Datum
aside_value_at(int row, int number, bool *null)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, null);
}

aside_bytes
aside_lend_text(int row, int number)
{
	bool		null;
	Datum		value = aside_value_at(row, number, &null);
	aside_bytes absent = {NULL, 0};

	return null ? absent : aside_lend_datum(value);
}

aside_bytes
aside_lend_datum(Datum value)
{
	text	   *copy = DatumGetTextPP(value);
	aside_bytes bytes;

	bytes.len = VARSIZE_ANY_EXHDR(copy);
	bytes.data = MemoryContextAlloc(aside_lent, bytes.len + 1);
	memcpy(unconstify(uint8_t *, bytes.data), VARDATA_ANY(copy), bytes.len);
	return bytes;
}

/* A bigint, or a timestamp as the server has it: in microseconds since 2000. */
int64
aside_number_or(int row, int number, int64 otherwise)
{
	bool		null;
	Datum		value = aside_value_at(row, number, &null);

	return null ? otherwise : DatumGetInt64(value);
}

int64
aside_number_at(int row, int number)
{
	return aside_number_or(row, number, 0);
}

Datum
aside_event_array(const int64_t *events, size_t count)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(count, 1));

	for (size_t i = 0; i < count; i++)
		elements[i] = Int64GetDatum(events[i]);
	return PointerGetDatum(construct_array(elements, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
										   TYPALIGN_DOUBLE));
}

Datum
aside_text_array(const aside_bytes *texts, size_t count)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(count, 1));

	for (size_t i = 0; i < count; i++)
		elements[i] = aside_bytes_datum(texts[i]);
	return PointerGetDatum(construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT));
}

Datum
aside_bytes_datum(aside_bytes bytes)
{
	return PointerGetDatum(cstring_to_text_with_len((const char *) bytes.data, bytes.len));
}
