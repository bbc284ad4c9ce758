/*
 * coordinator/work.h
 *	  What the files of a coordinator's work in its database share.
 */
#ifndef ASIDE_EVENT_WORK_H
#define ASIDE_EVENT_WORK_H

#include "base/aside.h"

#include "executor/spi.h"

/* coordinator/host.c */
extern const aside_coordinator_host *aside_get_coordinator_host(void);

/* coordinator/work.c */
extern MemoryContext aside_lent;
extern Oid	aside_tables_of_coordinator(void);
extern void aside_begin_with_tables(void);
extern bool aside_tables_replaced(void);
extern void aside_enter_work(void);
extern void aside_begin_work(void);
extern void aside_end_work(void);
extern void aside_drop_work(aside_status status);
extern void aside_run_query(const char *query, int nargs, Oid *types, Datum *values, const char *nulls, int expected);
extern Datum aside_value_at(int row, int number, bool *null);
extern aside_bytes aside_lend_text(int row, int number);
extern aside_bytes aside_lend_datum(Datum text);
extern int64 aside_number_at(int row, int number);
extern int64 aside_number_or(int row, int number, int64 otherwise);
extern Datum aside_event_array(const int64_t *events, size_t count);
extern Datum aside_text_array(const aside_bytes *texts, size_t count);
extern Datum aside_bytes_datum(aside_bytes bytes);

#endif							/* ASIDE_EVENT_WORK_H */
