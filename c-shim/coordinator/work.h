/*
 * coordinator/work.h
 *	  What the files of a coordinator's work in its database share.
 */
#ifndef ASIDE_EVENT_WORK_H
#define ASIDE_EVENT_WORK_H

#include "events/events.h"

/* coordinator/work.c */
extern MemoryContext aside_lent;
extern Oid aside_tables_of_coordinator(void);
extern void aside_begin_work(void);
extern void aside_end_work(void);
extern void aside_drop_work(aside_status status);
extern void aside_run_query(const char *query, int nargs, Oid *types, Datum *values, const char *nulls, int expected);
extern Datum aside_value_at(int row, int number, bool *null);
extern aside_bytes aside_lend_text(int row, int number);
extern int64 aside_number_at(int row, int number);
extern Datum aside_event_array(const int64_t *events, size_t count);
extern Datum aside_bytes_datum(aside_bytes bytes);

/* events/fetch.c */
extern void aside_unseen_transactions(Datum *values);
extern aside_status aside_event_fetch(bool open, size_t most, const aside_fetched **events, size_t *count, bool *all);
extern aside_status aside_event_look_back(int64_t since, const aside_fetched **events, size_t *count);
extern aside_status aside_event_places(const aside_place **places, size_t *count);

/* events/record.c */
extern aside_status aside_event_record(const aside_log_entry *entries, size_t count);
extern aside_status aside_event_spill(const aside_note *notes, size_t count);
extern aside_status aside_event_acknowledged(uint32_t handler, uint32_t partition, const int64_t *events, size_t count, bool *are);
extern void aside_event_complain(aside_bytes handler, uint64_t times, uint32_t sqlstate, aside_bytes message);

/* events/tables.c */
extern aside_status aside_event_rotate(uint32_t to);
extern aside_status aside_event_truncate(uint32_t partition, bool *done);
extern aside_status aside_event_carry_over(uint32_t partition, const int64_t *events, size_t count);
extern aside_status aside_event_compact_keys(void);
extern uint64_t aside_event_size(uint32_t partition);

#endif							/* ASIDE_EVENT_WORK_H */
