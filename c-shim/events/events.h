/*
 * events/events.h
 *	  Events: their tables, what a coordinator asks of them, and their
 *	  handlers.
 */
#ifndef ASIDE_EVENT_H
#define ASIDE_EVENT_H

#include "base/aside.h"

#define ASIDE_PARTITIONS 3

/* The tables that events are written to, and whose they are. */
typedef struct AsideEventTables
{
	Oid			owner;
	Oid			sequence;
	Oid			partitions[ASIDE_PARTITIONS];
	Oid			unique_keys;
} AsideEventTables;

/* events/catalog.c */
extern AsideEventTables aside_event_tables(void);
extern Oid	aside_event_type(void);
extern Oid	aside_events_owner(void);
extern Oid	aside_hold_tables(void);
ASIDE_NORETURN extern void aside_refuse_missing_tables(void);

/* events/ids.c */
extern int64 aside_next_event_id(void);

/* events/announce.c */
extern int	aside_event_depth;
extern void aside_announce_events(void);
extern void aside_announce_changes(uint32 topics);
extern void aside_announce_databases(void);
extern void aside_announce_extension(void);

/* events/store.c */
extern const struct aside_event_host *aside_get_event_host(void);

/* events/fetch.c */
extern void aside_unseen_transactions(const aside_unseen *unseen, Datum *values);
extern aside_status aside_event_fetch(const aside_unseen *unseen, const aside_bytes *channels, size_t nchannels, size_t limit,
									  const aside_fetched **events, size_t *count, aside_snapshot *seen);
extern aside_status aside_event_refetch(int64_t since, const aside_unseen *unseen, const aside_fetched **events, size_t *count);
extern aside_status aside_event_places(const aside_place **places, size_t *count);

/* events/record.c */
extern aside_status aside_event_record(const aside_log_entry *entries, size_t count);
extern aside_status aside_event_end_groups(const int64_t *groups, size_t count, uint64_t *emitted, bool *busy);
extern aside_status aside_event_spill(const aside_note *notes, size_t count);
extern aside_status aside_event_committed(uint32_t handler, uint32_t partition, const int64_t *events, size_t count, aside_committed *out);
extern void aside_event_complain(aside_bytes handler, uint64_t times, uint32_t sqlstate, aside_bytes message);

/* events/channel.c */
extern Oid	aside_check_channel(Datum channel, Oid role);

/* events/lease_news.c */
#define ASIDE_LEASE_COMMAND "lease"
extern aside_status aside_lease_generation(int64_t *generation);
extern aside_status aside_lease_news_of(const int64_t *leases, size_t count, const aside_lease_over *over, size_t nover,
										const aside_lease_news **news, size_t *nnews);

/* events/tables.c */
extern aside_status aside_event_rotate(uint32_t to);
extern aside_status aside_event_truncate(uint32_t partition, const aside_unseen *unseen, bool *done);
extern aside_status aside_event_carry_over(uint32_t partition, const int64_t *events, size_t count, int64_t *carried, size_t *ncarried);
extern aside_status aside_event_compact_keys(void);
extern uint64_t aside_event_size(uint32_t partition);

/* events/handler.c */
extern aside_status aside_host_run_events(aside_bytes name, aside_bytes batch, aside_ran *ran, const aside_put_off **put_off, size_t *count);

/* sql/forward.c */
extern void aside_check_ready(const char *what);

#endif							/* ASIDE_EVENT_H */
