/*
 * coordinator/coordinator.h
 *	  The launcher, the coordinators, and what other processes tell them.
 */
#ifndef ASIDE_COORDINATOR_H
#define ASIDE_COORDINATOR_H

#include "base/aside.h"

/* coordinator/launcher.c */
extern void aside_register_launcher(void);
extern bool aside_serve_signals(void);
extern void aside_sleep_for(int64 us);

/* coordinator/registry.c */
extern uint32 aside_own_entry;
extern void aside_set_latch(int64_t proc);
extern bool aside_has_launcher(void);
extern int	aside_current_partition(void);
extern void aside_set_current_partition(int partition);
extern int64 aside_raise_event_id(Oid sequence, int64 id);
extern void aside_tell_coordinator(uint32 topics);
extern uint32 aside_handler_changes(void);
extern void aside_want_coordinator(void);
extern bool aside_make_room(void);
extern bool aside_vacate_coordinator(Oid database);
extern void aside_readmit_coordinator(Oid database);
extern void aside_wake_launcher(void);

/* coordinator/listen.c */
extern void aside_start_listening(void);
extern aside_status aside_receive_notifications(void);

/* coordinator/notifications.c */
extern void aside_keep_notification(int pid, const char *channel, const char *payload);
extern bool aside_lend_notifications(const aside_note **notes, size_t *count);

#endif							/* ASIDE_COORDINATOR_H */
