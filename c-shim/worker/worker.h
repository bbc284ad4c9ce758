/*
 * worker/worker.h
 *	  The worker's side of autonomous work.
 */
#ifndef ASIDE_WORKER_H
#define ASIDE_WORKER_H

#include "base/aside.h"

#include "tcop/cmdtag.h"
#include "tcop/dest.h"

/* worker/request.c */
extern MemoryContext aside_request_context;
extern const char *aside_command;
extern bool aside_last_commit;
extern bool aside_in_session;
extern bool aside_handler_runs;
extern bool aside_temp_touched;
extern aside_identity aside_acting;
extern bool aside_caller_is_elsewhere(void);

/* worker/host.c */
extern const aside_worker_host *aside_get_worker_host(void);

/* worker/identity.c */
extern void aside_reset_setting(const char *name, bool local);
extern void aside_reload_settings(void);
extern aside_status aside_host_adopt(const aside_identity *who, const aside_bytes *settings);

/* worker/settings.c */
extern void aside_settings_apply(const aside_bytes *from, bool elsewhere);
extern void aside_settings_reset(const aside_bytes *from, const char *name, bool local);
extern void aside_settings_mark(void);
extern bool aside_settings_intact(void);

/* worker/role_settings.c */
extern void aside_remember_role_settings(void);
extern aside_status aside_role_settings_changed(bool *changed);

/* worker/origin.c */
extern void aside_have_port(void);
extern void aside_host_origin(aside_bytes block);
extern void aside_host_call_site(uint64_t xid, aside_bytes stack);
extern const char *aside_caller_query(void);
extern int	aside_caller_pid(void);

/* worker/timer.c */
extern void aside_start_statement_timer(void);
extern void aside_begin_task_timer(uint32 timeout_ms);
extern void aside_stop_timers(void);
extern bool aside_host_timed_out(void);

/* worker/transaction.c */
extern bool aside_worn_out;
extern aside_status aside_host_read_at(aside_bytes snapshot);
extern aside_status aside_host_begin(aside_bytes command, bool session, bool timed, uint32_t timeout_ms);
extern void aside_host_session_state(uint32_t *user, uint64_t *settings);
extern aside_bytes aside_host_tag(void);
extern aside_status aside_host_next_statement(bool controls);
extern aside_status aside_host_commit(void);
extern void aside_host_abort(void);
extern void aside_host_error(aside_report *out);

/* worker/clean.c */
extern aside_status aside_host_clean(bool session_goes_on, bool *settings_intact);

/* worker/gate.c */
extern void aside_watch_commits(void);

/* worker/prepare.c */
extern aside_status aside_host_parse(aside_bytes command, uint32_t *count);
extern aside_status aside_host_prepare(uint32_t index, const aside_arg *args, size_t nargs,
									   aside_statement *out);
extern aside_status aside_host_keep_plan(void *plan);
extern void aside_host_drop_plan(void *plan);
extern aside_status aside_host_lock_plan(void *plan, uint64_t *changes);
extern void aside_refuse_in_failed_transaction(Node *statement);

/* worker/kept_plan.c */
extern void aside_watch_catalogs(void);
extern uint64_t aside_catalog_changes(void);
extern uint64_t aside_lock_queries(List *queries);
extern bool aside_has_fleeting_literal(Node *node, void *context);
extern bool aside_has_fleeting_call(Node *node, void *context);

/* worker/exec.c */
extern QueryCompletion aside_last_completion;
extern aside_status aside_host_run(void *plan, bool several, const aside_arg *args, size_t nargs,
								   uint32_t output, const aside_column *columns, size_t ncolumns,
								   void *sink, uint64_t *processed);

/* worker/receiver.c */
extern int	aside_row_shapes;
extern DestReceiver *aside_create_receiver(TupleDesc returned, uint32 output,
										   const aside_column *columns, size_t ncolumns, void *sink);
extern Node *aside_text_cast(Node *value, Oid from, Oid to);

/* worker/send.c */
ASIDE_NORETURN extern void aside_refuse_reply(aside_status status);
extern void aside_send_tuple(void *sink, MinimalTuple tuple);
extern void aside_send_slot(void *sink, TupleTableSlot *slot);
extern void aside_send_values(void *sink, TupleDesc desc, Datum *values, bool *nulls);

/* worker/relay.c */
extern uint64_t aside_messages_relayed;
extern void aside_be_client(int (*put) (char type, const char *data, size_t len));
extern void aside_relay_messages(const aside_worker_host *to);
extern aside_status aside_host_notifications(void *sink);
extern void aside_forget_notifications(void);

/* worker/server_log.c */
extern bool aside_only_logs;
extern void aside_install_log_hook(void);
extern char *aside_unname_work(char *context);
extern void aside_host_log(const aside_report *report, bool saved);
extern void aside_log_command(const char *text);
extern void aside_log_handler(const char *text);
extern void aside_log_statement(Node *statement, const aside_arg *args, size_t nargs);
extern void aside_log_duration(void);

#endif							/* ASIDE_WORKER_H */
