/*
 * events/lease_news.c
 *	  What a coordinator asks of the leases of consumers: what has become of
 *	  them. Also that some are over, which it writes down before it believes it.
 */
#include "coordinator/statement.h"
#include "coordinator/work.h"
#include "events/lease.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/guc.h"
#include "utils/memutils.h"

/* Numbers that begin with this are of one coordinator. */
aside_status
aside_lease_generation(int64_t *generation)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		aside_begin_work();
		*generation = aside_next_event_id();
		aside_end_work();
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return status;
}

/* Of what the consumer has said nothing. A transaction that is about to say something is not waited for. */
static void
end_lease(const aside_lease_over *over)
{
	Oid			types[3] = {INT8OID, INT8OID, INT8ARRAYOID};
	Datum		values[3];

	if (!aside_lock_lease(over->lease, false))
		return;
	values[0] = Int64GetDatum(over->handler);
	values[1] = Int64GetDatum(over->lease);
	values[2] = aside_event_array(over->events, over->nevents);
	aside_run_query(psprintf("INSERT INTO aside.event_log_%u (handler, kind, events, lease) SELECT $1, " ASIDE_SQL_OVER ", e.ids, $2 "
							 "FROM (SELECT ARRAY(SELECT unnest($3) EXCEPT SELECT unnest(l.events) FROM aside.event_log_%u l WHERE l.lease = $2 "
							 "AND l.kind IN (" ASIDE_SQL_DONE ", " ASIDE_SQL_GIVEN_BACK ", " ASIDE_SQL_OVER ")) AS ids) e WHERE e.ids <> '{}'",
							 over->partition, over->partition), 3, types, values, NULL, SPI_OK_INSERT);
}

#define NEWS(n) \
	"SELECT l.lease, ev, l.handler, l.kind, l.next_at, l.message FROM aside.event_log_" n " l, unnest(l.events) ev " \
	"WHERE l.lease = ANY ($1) AND l.kind IN (" ASIDE_SQL_DONE ", " ASIDE_SQL_GIVEN_BACK ", " ASIDE_SQL_OVER ")"

aside_status
aside_lease_news_of(const int64_t *leases, size_t count, const aside_lease_over *over, size_t nover,
					const aside_lease_news **news, size_t *nnews)
{
	static AsideStatement read = {.text = NEWS("0") " UNION ALL " NEWS("1") " UNION ALL " NEWS("2")};
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		int64_t    *all = palloc(sizeof(int64_t) * (count + nover + 1));
		AsideParameters asked = {0};
		aside_lease_news *found;
		bool		null;

		aside_begin_work();
		for (size_t i = 0; i < nover; i++)
		{
			end_lease(&over[i]);
			all[count + i] = over[i].lease;
		}
		memcpy(all, leases, sizeof(int64_t) * count);
		aside_add_numbers(&asked, all, count + nover);
		/* The tables have no statistics. */
		(void) set_config_option("enable_seqscan", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
		aside_run_statement(&read, &asked);
		*nnews = SPI_processed;
		found = MemoryContextAllocHuge(aside_lent, sizeof(aside_lease_news) * Max(*nnews, 1));
		for (size_t i = 0; i < *nnews; i++)
			found[i] = (aside_lease_news) {
				.lease = aside_number_at(i, 1),
				.event = aside_number_at(i, 2),
				.handler = aside_number_at(i, 3),
				.kind = (unsigned char) DatumGetChar(aside_value_at(i, 4, &null)),
				.next_at = aside_number_at(i, 5),
				.message = aside_lend_text(i, 6),
			};
		*news = found;
		aside_end_work();
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return status;
}
