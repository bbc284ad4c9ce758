/*
 * definitions/record.c
 *	  A coordinator writes down what happens to definitions and to the rows
 *	  that belong to them.
 */
#include "definitions/tables.h"
#include "events/events.h"

#include "executor/spi.h"

/* The keys of rows. */
typedef struct Keys
{
	int64_t    *first;
	int64_t    *second;
	size_t		count;
} Keys;

static Keys
make_keys(size_t room)
{
	Keys		keys = {.first = palloc(sizeof(int64_t) * room), .second = palloc(sizeof(int64_t) * room)};

	return keys;
}

static void
add_key(Keys *to, int64 first, int64 second)
{
	if (first == 0)
		return;
	to->first[to->count] = first;
	to->second[to->count++] = second;
}

/* Which of these rows has somebody else locked? The others are locked for this transaction. */
static Keys
find_locked(AsideStatement *statement, const Keys *keys)
{
	AsideParameters parameters = {0};
	Keys		locked = {0};

	if (keys->count == 0)
		return locked;
	aside_add_numbers(&parameters, keys->first, keys->count);
	aside_add_numbers(&parameters, keys->second, keys->count);
	aside_run_statement(statement, &parameters);
	locked = make_keys(SPI_processed + 1);
	for (uint64 i = 0; i < SPI_processed; i++)
		add_key(&locked, aside_number_at(i, 1), aside_number_at(i, 2));
	return locked;
}

static bool
is_among(const Keys *keys, int64 first, int64 second)
{
	for (size_t i = 0; i < keys->count; i++)
		if (keys->first[i] == first && keys->second[i] == second)
			return true;
	return false;
}

/*
 * Writes down what can be written without a wait: the answer to each entry is
 * what its writer returns, or ASIDE_ROW_LOCKED. A user's transaction that has
 * changed a row may stay open for long, and so may the worker of a chunk that
 * was taken for lost.
 */
void
aside_write_entries(AsideRecorder *recorder, const void *entries, size_t count, int64_t *numbers)
{
	AsideChanges *changes = palloc(sizeof(AsideChanges) * Max(count, 1));
	Keys		definitions = make_keys(count);
	Keys		rows = make_keys(count);

	for (size_t i = 0; i < count; i++)
	{
		changes[i] = recorder->changes((const char *) entries + i * recorder->size);
		add_key(&definitions, changes[i].definition, 0);
		add_key(&rows, changes[i].row[0], changes[i].row[1]);
	}
	definitions = find_locked(&recorder->lock_definitions, &definitions);
	rows = find_locked(&recorder->lock_rows, &rows);
	for (size_t i = 0; i < count; i++)
		numbers[i] = is_among(&definitions, changes[i].definition, 0) || is_among(&rows, changes[i].row[0], changes[i].row[1]) ?
			ASIDE_ROW_LOCKED : recorder->write((const char *) entries + i * recorder->size);
}

/* The handlers of channel aside.failed hear of what has failed for good, if there are any. */
void
aside_tell_failed(AsideStatement *tell, AsideParameters *parameters)
{
	bool		null;

	aside_run_statement(tell, parameters);
	if (SPI_processed > 0 && DatumGetInt32(aside_value_at(0, 1, &null)) > 0)
		aside_announce_events();
}
