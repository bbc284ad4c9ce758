/*
 * definitions/tables.h
 *	  What a coordinator does with each table of definitions, and with the rows
 *	  that belong to them: runs of schedules, chunks of jobs.
 */
#ifndef ASIDE_DEFINITION_TABLES_H
#define ASIDE_DEFINITION_TABLES_H

#include "coordinator/statement.h"
#include "definitions/definition.h"

/* A query whose rows the core borrows, each as a struct of this size. */
typedef struct AsideRead
{
	const char *query;
	size_t		size;
	void		(*fill) (void *out, int row);
} AsideRead;

/* The names of those of the definitions $1 that belong to somebody. */
#define ASIDE_NAMED_DEFINITIONS(table) \
	"SELECT w.place, d.id, d.name FROM unnest($1) WITH ORDINALITY w (id, place) JOIN " table " d ON d.id = w.id WHERE NOT d.inert"

/* Locks those of the definitions $1 that nobody has locked. Returns those that somebody has. */
#define ASIDE_LOCKED_DEFINITIONS(table) \
	"WITH free AS (SELECT id FROM " table " WHERE id = ANY ($1) FOR NO KEY UPDATE SKIP LOCKED) " \
	"SELECT id, 0::int8 FROM " table " WHERE id = ANY ($1) AND $2 IS NOT NULL AND id NOT IN (SELECT id FROM free)"

/* The rows that an entry changes. */
typedef struct AsideChanges
{
	int64		definition;		/* 0: not that of its definition */
	int64		row[2];			/* the key; 0: none */
} AsideChanges;

/* How entries are written down. The statements get the keys of rows as two arrays, lock rows, and return those that somebody has locked. */
typedef struct AsideRecorder
{
	size_t		size;			/* of an entry */
	AsideStatement lock_definitions;
	AsideStatement lock_rows;
	AsideChanges (*changes) (const void *entry);
	int64		(*write) (const void *entry);
} AsideRecorder;

/* definitions/store.c */
extern void *aside_read_rows(const AsideRead *read, size_t *count);
extern aside_status aside_load_definitions(const char *settle, const AsideRead *definitions, const void **out, size_t *count,
										   const AsideRead *rows, const void **rows_out, size_t *rows_count);
extern aside_status aside_read_standing(const char *kind, AsideStatement *named, const int64_t *ids, size_t count, aside_standing *out);

/* definitions/record.c */
extern void aside_write_entries(AsideRecorder *recorder, const void *entries, size_t count, int64_t *numbers);
extern void aside_tell_failed(AsideStatement *tell, AsideParameters *parameters);

#endif							/* ASIDE_DEFINITION_TABLES_H */
