/*
 * schedules/schedules.h
 *	  Schedules. The core reads a specification with the server's time zones
 *	  and literals. A coordinator reads and writes the tables of schedules.
 */
#ifndef ASIDE_SCHEDULES_H
#define ASIDE_SCHEDULES_H

#include "base/aside.h"

#include "pgtime.h"

/* schedules/zone.c */
extern pg_tz *aside_zone_named(const char *name);
extern const void *aside_schedule_zone(aside_bytes name);
extern void aside_schedule_span(const void *zone, int64_t at, int64_t *offset, int64_t *until);
extern const aside_schedule_rules *aside_rules_of_zone(pg_tz *zone);
extern text *aside_schedule_answer(void);

/* schedules/record.c */
extern aside_status aside_record_schedules(const aside_schedule_entry *entries, size_t count, int64_t *numbers);

/* schedules/store.c */
extern const aside_schedule_host *aside_get_schedule_host(void);

#endif							/* ASIDE_SCHEDULES_H */
