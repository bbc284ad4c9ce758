/*
 * events/events.h
 *	  What the files of the shim share about events.
 */
#ifndef ASIDE_EVENT_H
#define ASIDE_EVENT_H

#include "base/aside.h"

#define ASIDE_PARTITIONS 3

/*
 * By which a handler is named to its worker: a changed one has another
 * version, and one of another extension of the same name other tables.
 */
typedef struct AsideHandlerName
{
	uint32		id;
	int32		version;
	Oid			tables;
} AsideHandlerName;

/* The tables that events are written to. */
typedef struct AsideEventTables
{
	Oid			sequence;
	Oid			partitions[ASIDE_PARTITIONS];
	Oid			unique_keys;
} AsideEventTables;

/* sql/event.c */
extern void aside_check_events_ready(void);
extern void aside_note_emitted(void);
extern void aside_note_handlers(void);
extern AsideEventTables aside_event_tables(void);
extern Oid	aside_event_type(void);
extern Oid	aside_events_owner(void);
extern Oid	aside_hold_tables(void);

/* Of the events that the handler was called with in this transaction, the deepest (events/handler.c). */
extern int	aside_event_depth;

/* This request's transaction is a handler's. */
extern bool aside_handler_runs;

/* coordinator/launcher.c */
extern bool aside_serve_signals(void);
extern void aside_sleep_for(int64 us);

/* coordinator/listening.c */
extern void aside_listen_to_server(void);
extern bool aside_hear_server(void);

/* coordinator/process.c */
extern void aside_set_current_partition(int partition);

/* coordinator/registry.c */
extern aside_registry *aside_event_registry;
extern void aside_set_latch(int64_t proc);
extern bool aside_has_launcher(void);
extern int	aside_current_partition(void);
extern void aside_say_events(void);
extern void aside_say_handlers(void);
extern uint32 aside_handler_changes(void);
extern void aside_want_coordinator(void);
extern bool aside_make_room(void);
extern void aside_look_for_databases(void);

/* coordinator/heard.c */
extern void aside_hear(int pid, const char *channel, const char *payload);
extern bool aside_lend_heard(const aside_note **notes, size_t *count);

/* events/store.c */
extern const struct aside_event_host *aside_get_event_host(void);
extern void aside_begin_with_tables(void);
extern bool aside_tables_replaced(void);

#endif							/* ASIDE_EVENT_H */
