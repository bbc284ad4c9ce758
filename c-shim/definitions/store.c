/*
 * definitions/store.c
 *	  A coordinator reads a table of definitions, and the rows that belong to
 *	  them.
 */
#include "definitions/tables.h"

#include "executor/spi.h"
#include "utils/memutils.h"

/* The core borrows the array until its next call. */
void *
aside_read_rows(const AsideRead *read, size_t *count)
{
	char	   *all;

	aside_run_query(read->query, 0, NULL, NULL, NULL, SPI_OK_SELECT);
	*count = SPI_processed;
	all = MemoryContextAllocExtended(aside_lent, read->size * Max(*count, 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (size_t i = 0; i < *count; i++)
		read->fill(all + i * read->size, i);
	return all;
}

/* The table follows the proxies first. */
aside_status
aside_load_definitions(const char *settle, const AsideRead *definitions, const void **out, size_t *count,
					   const AsideRead *rows, const void **rows_out, size_t *rows_count)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		aside_begin_work();
		aside_run_query(settle, 0, NULL, NULL, NULL, SPI_OK_SELECT);
		*out = aside_read_rows(definitions, count);
		*rows_out = aside_read_rows(rows, rows_count);
		aside_end_work();
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return status;
}

/* The answer is read anew each time: a command may change or drop a proxy without any change to the tables. */
aside_status
aside_read_standing(const char *kind, AsideStatement *named, const int64_t *ids, size_t count, aside_standing *out)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		AsideParameters parameters = {0};

		aside_begin_work();
		aside_add_numbers(&parameters, ids, count);
		memset(out, 0, sizeof(aside_standing) * count);
		aside_run_statement(named, &parameters);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			AsideDefinition definition = {
				.kind = kind,
				.id = aside_number_at(i, 2),
				.name = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 3),
			};

			aside_fill_standing(&definition, &out[aside_number_at(i, 1) - 1]);
		}
		aside_end_work();
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return status;
}
