/*
 * coordinator/statement.h
 *	  Statements that a coordinator runs often, and their parameters.
 */
#ifndef ASIDE_STATEMENT_H
#define ASIDE_STATEMENT_H

#include "coordinator/work.h"

#define ASIDE_MOST_PARAMETERS 16

typedef struct AsideStatement
{
	const char *text;
	SPIPlanPtr	plan;			/* NULL until it has run for the first time */
} AsideStatement;

/* In the order of their numbers. */
typedef struct AsideParameters
{
	int			count;
	Oid			types[ASIDE_MOST_PARAMETERS];
	Datum		values[ASIDE_MOST_PARAMETERS];
	char		nulls[ASIDE_MOST_PARAMETERS];
} AsideParameters;

/* coordinator/statement.c */
extern void aside_run_statement(AsideStatement *statement, AsideParameters *parameters);
extern void aside_read_statement(AsideStatement *statement, AsideParameters *parameters, size_t limit);
extern void aside_add_value(AsideParameters *to, Oid type, Datum value, bool null);
extern void aside_add_number(AsideParameters *to, int64 number);
extern void aside_add_number_or_null(AsideParameters *to, int64 number, bool null);
extern void aside_add_int(AsideParameters *to, int32 number);
extern void aside_add_pid(AsideParameters *to, uint32 pid);
extern void aside_add_bool(AsideParameters *to, bool value);
extern void aside_add_time(AsideParameters *to, int64 at);
extern void aside_add_string(AsideParameters *to, const char *text);
extern void aside_add_text(AsideParameters *to, aside_bytes text);
extern void aside_add_said(AsideParameters *to, aside_bytes text);
extern void aside_add_numbers(AsideParameters *to, const int64_t *numbers, size_t count);
extern void aside_add_texts(AsideParameters *to, Datum array);

#endif							/* ASIDE_STATEMENT_H */
