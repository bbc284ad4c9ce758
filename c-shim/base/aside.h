/*
 * base/aside.h
 *	  What the files of the shim share.
 *
 * The shim calls the server and traps its errors; it decides nothing.
 */
#ifndef ASIDE_H
#define ASIDE_H

#include "postgres.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "nodes/nodes.h"
#include "nodes/pg_list.h"
#include "storage/condition_variable.h"
#include "storage/dsm.h"
#include "tcop/cmdtag.h"
#include "tcop/dest.h"
#include "utils/tuplestore.h"

#include "aside_abi.h"
#include "base/compat.h"

/* In front of each pool, on cache lines of its own. */
typedef struct AsidePrefix
{
	ConditionVariable slot_free;
	dsm_handle	tasks;			/* of a private pool; 0: none yet */
} AsidePrefix;

/* Arguments of a command, ids of a list: as many as a message of the protocol may have. */
#define ASIDE_MOST_VALUES 65535

#define ASIDE_PREFIX_SIZE TYPEALIGN(128, sizeof(AsidePrefix))

/* What a worker is told at its launch, in bgw_extra. */
typedef struct AsideLaunch
{
	uint64		generation;
	Oid			database;
	Oid			user;
	bool		superuser;
	dsm_handle	segment;		/* DSM_HANDLE_INVALID: the shared pool */
} AsideLaunch;

/* A pool that this process has mapped. */
typedef struct AsidePool
{
	aside_pool *handle;
	AsidePrefix *prefix;
	uint32		slots;
	dsm_handle	segment;
	bool		has_tasks;		/* their table is attached */
} AsidePool;

/* Where the rows of the running call go: to a store, or the last one to single. */
typedef struct AsideRows
{
	Tuplestorestate *store;
	TupleTableSlot *slot;
	MinimalTuple single;		/* in the context current at the call */
	TupleDesc	described;		/* of the rows in the store, if the worker says; in the query's context */
	uint32	   *styles;			/* of those, not 0: came as text, under these styles (call/styles.c) */
	MemoryContext context;		/* where both are */
	List	   *tags;			/* of statements without rows, in that context */
	bool		fresh;			/* nothing was described since the last statement */
	bool		peek;			/* only the tags are kept, of all statements; rows and messages are not */
} AsideRows;

/* Arguments of a call as they are shipped. */
typedef struct AsideArguments
{
	aside_arg  *args;
	Datum	   *values;			/* what by-value arguments point to */
	int			count;
} AsideArguments;

/* What one call asks for; the rest of an aside_call is the session's. */
typedef struct AsideRequest
{
	aside_kind	kind;
	aside_output output;
	aside_bytes command;
	const AsideArguments *arguments;	/* NULL: none */
	const aside_column *columns;
	int			ncolumns;
	aside_bytes routine;		/* AsideRoutine and what follows it; NULL: run the command */
} AsideRequest;

/* module/guc.c */
extern int	aside_max_workers;
extern int	aside_min_workers;
extern int	aside_max_workers_per_role;
extern int	aside_max_workers_per_session;
extern int	aside_checkout_timeout;
extern int	aside_worker_idle_timeout;
extern int	aside_max_depth;
extern int	aside_poll_time;
extern int	aside_queue_size;
extern int	aside_plan_cache_size;
extern int	aside_max_tasks;
extern int	aside_max_tasks_per_role;
extern int	aside_max_handlers_per_role;
extern int	aside_max_events_per_role;
extern int	aside_max_handlers_per_channel;
extern int	aside_task_memory;
extern int	aside_task_result_limit;
extern int	aside_task_results_per_role;
extern int	aside_task_retention;
extern int	aside_task_timeout;
extern int	aside_session_idle_timeout;
extern char *aside_task_label;
extern char *aside_allow_databases;
extern void aside_define_settings(void);

/* What becomes of a transaction that an autonomous routine has not ended. */
typedef enum AsideAtExit
{
	ASIDE_EXIT_COMMIT,
	ASIDE_EXIT_ERROR,
} AsideAtExit;

extern int	aside_uncommitted_at_exit;

/* module/shmem.c */
extern void aside_request_shmem(void);
extern AsidePool *aside_caller_pool(bool create);
extern AsidePool *aside_worker_pool(void);
extern bool aside_attach_worker_pool(dsm_handle segment);
extern bool aside_find_tasks(AsidePool *pool, bool create);
extern bool aside_tasks_are_shared(void);

/* tasks/file.c */
extern aside_status aside_write_task_file(uint64_t task, aside_bytes bytes);
extern aside_status aside_append_task_file(uint64_t task, aside_bytes bytes);
extern aside_status aside_read_task_file(uint64_t task, uint64_t offset, uint8_t *into, size_t len);
extern void aside_drop_task_file(uint64_t task);
extern void aside_write_down_task(uint32_t index, aside_bytes record);
extern void aside_recover_tasks(void *table, size_t size, uint32 tasks);

/* coordinator/launcher.c */
extern void aside_register_launcher(void);

/* coordinator/registry.c */
extern void aside_lay_out_registry(void);
extern size_t aside_registry_bytes(void);
extern bool aside_vacate_coordinator(Oid database);
extern void aside_readmit_coordinator(Oid database);
extern void aside_note_databases(void);
extern char *aside_databases;
extern int	aside_reserved_coordinators;
extern int	aside_max_event_depth;
extern int	aside_event_rotation_size;
extern int	aside_event_rotation_time;

/* events/handler.c */
extern void aside_remember_role_settings(void);
extern aside_status aside_role_settings_changed(bool *changed);
extern aside_status aside_host_run_events(aside_bytes name, aside_bytes batch, aside_ran *ran);

/* sql/task.c */
extern void aside_kick_tasks(AsidePool *pool);

/* base/report.c */
ASIDE_NORETURN extern void aside_end_without_memory(size_t bytes);
extern void aside_keep_error(MemoryContext back_to);
extern ErrorData *aside_kept_error(void);
extern void aside_keep_report(const aside_report *report);
extern void aside_amend_error(aside_bytes detail);
ASIDE_NORETURN extern void aside_throw_kept(void);
extern void aside_fill_report(const ErrorData *edata, aside_report *out);
extern ErrorData *aside_make_error_data(const aside_report *report);

/* call/parse_hook.c */
extern void aside_install_parse_hook(void);

/* worker/server_log.c */
extern void aside_install_log_hook(void);
extern char *aside_unname_work(char *context);
extern void aside_raise_message(const aside_report *message);
extern void aside_host_log(const aside_report *report, bool saved);
extern void aside_log_command(const char *text);
extern void aside_log_handler(const char *text);
extern void aside_log_statement(Node *statement, const aside_arg *args, size_t nargs);
extern void aside_log_duration(void);

/* call/origin.c */
extern bool aside_caller_stack;
extern void aside_origin_current(aside_bytes *block, uint64_t *version);
extern void aside_origin_of_task(aside_bytes *block, uint64_t *version);
extern aside_bytes aside_stack_current(void);
extern void aside_have_port(void);
extern void aside_host_origin(aside_bytes block);
extern void aside_host_call_site(uint64_t xid, aside_bytes stack);
extern const char *aside_caller_query(void);
extern int	aside_caller_pid(void);

/* sql/session.c */
extern void aside_discard_sessions(void);

/* call/waits.c */
extern uint64_t aside_host_lock_wait(uint32_t pid);
extern aside_status aside_host_blockers(uint32_t pid, const aside_blocker **blockers, size_t *count);
extern bool aside_host_pin_wait(uint32_t pid);
extern size_t aside_host_group(uint32_t pid, uint32_t *members, size_t max);
extern size_t aside_host_pins_wanted(uint32_t *waiters, size_t max);

/* base/world.c */
extern void aside_fill_world(aside_world *world);

/* call/caller.c, worker/worker.c, worker/prepare.c, worker/exec.c, language/worker_routine.c */
extern const aside_caller_host *aside_get_caller_host(void);
extern const aside_worker_host *aside_get_worker_host(void);
extern AsideRows *aside_rows;
extern aside_status aside_host_parse(aside_bytes command, uint32_t *count);
extern aside_status aside_host_prepare(uint32_t index, const aside_arg *args, size_t nargs,
									   aside_statement *out);
extern aside_status aside_host_keep_plan(void *plan);
extern void aside_host_drop_plan(void *plan);
extern aside_status aside_host_lock_plan(void *plan, uint64_t *changes);
extern void aside_refuse_in_failed_transaction(Node *statement);
extern aside_status aside_host_run(void *plan, bool several, const aside_arg *args, size_t nargs,
								   uint32_t output, const aside_column *columns, size_t ncolumns,
								   void *sink, uint64_t *processed);

/* worker/kept_plan.c */
extern void aside_watch_catalogs(void);
extern uint64_t aside_catalog_changes(void);
extern uint64_t aside_lock_queries(List *queries);
extern bool aside_has_fleeting_literal(Node *node, void *context);
extern bool aside_has_fleeting_call(Node *node, void *context);

/* The command of the running request, and where it keeps what it needs until its end. */
extern MemoryContext aside_request_context;
extern const char *aside_command;

extern aside_status aside_host_run_routine(aside_bytes routine, const aside_arg *args, size_t nargs,
										   const aside_column *columns, size_t ncolumns, void *sink);
extern Datum aside_argument_datum(const aside_arg *arg, Oid type);

/* sql/tx.c */
extern void aside_allocate_arguments(AsideArguments *to, int count);
extern void aside_fill_argument(AsideArguments *to, int i, Oid type, int16 len, bool by_value,
								Datum value, bool null);
extern void aside_collect_arguments(AsideArguments *to, FunctionCallInfo fcinfo, int first, bool elsewhere);
extern void aside_fill_call(const AsideRequest *request, aside_call *call);
extern uint64 aside_run_request(const AsideRequest *request);
extern void aside_require_set_context(FunctionCallInfo fcinfo);
extern TupleDesc aside_wanted_columns(FunctionCallInfo fcinfo);
extern aside_column *aside_expected_columns(TupleDesc desc, bool elsewhere);
extern aside_bytes aside_text_argument(FunctionCallInfo fcinfo, int at);

/* sql/session.c */
extern void aside_check_target(Oid database, const char *name);
extern void aside_open_session(aside_bytes session, Oid database);

/* call/convert.c */
extern void aside_return_store(FunctionCallInfo fcinfo, AsideRows *rows, TupleDesc wanted);

/* compat/foreign_text.c */
extern bool aside_same_encoding(Oid database);
extern void aside_refuse_encoding(Oid database, const char *message, const char *hint);
extern aside_bytes aside_shown_bytes(aside_bytes text, Oid database);
extern Datum aside_shown_text(aside_bytes text, Oid database);

/* call/styles.c */
extern bool aside_crosses_as_text(Oid type, bool elsewhere);
extern bool aside_names_objects(Oid type);
extern uint32 aside_fixed_styles(void);
extern uint32 aside_own_styles(void);
extern int	aside_enter_styles(uint32 styles, bool names);
extern void aside_leave_styles(int nest);

/* worker/receiver.c */
ASIDE_NORETURN extern void aside_refuse_reply(aside_status status);
extern void aside_send_slot(void *sink, TupleTableSlot *slot);
extern void aside_send_values(void *sink, TupleDesc desc, Datum *values, bool *nulls);
extern DestReceiver *aside_create_receiver(TupleDesc returned, uint32 output,
										   const aside_column *columns, size_t ncolumns, void *sink);
extern int	aside_row_shapes;
extern Node *aside_text_cast(Node *value, Oid from, Oid to);

/* call/type_layout.c */
extern void aside_forget_layouts(void);
extern bool aside_sees_type_alone(Oid type);
extern void aside_check_type_visible(Oid type, const char *what, const char *name);

/* call/settings.c */
extern void aside_settings_current(aside_bytes *block, uint64_t *version);
extern void aside_settings_apply(const aside_bytes *block, bool elsewhere);
extern uint64 aside_settings_version(void);
extern void aside_settings_reset(const aside_bytes *block, const char *name, bool local);
extern void aside_settings_mark(void);
extern bool aside_settings_intact(void);

/* worker/relay.c */
extern void aside_be_client(int (*put) (char type, const char *data, size_t len));
extern void aside_relay_messages(void);
extern void aside_relay_errors(bool relayed);
extern aside_status aside_host_notifications(void *sink);
extern void aside_forget_notifications(void);
extern uint64_t aside_messages_relayed;

/* module/launch.c */
extern aside_status aside_launch_worker(uint32_t slot, uint64_t generation,
										uint32_t database, uint32_t user, bool superuser);
extern bool aside_launch_failed(uint32_t slot);

/* module/hooks.c */
extern void aside_install_hooks(void);
extern void aside_watch_transactions(void);
extern void aside_watch_submitter(void);
extern bool aside_temp_touched;

/* The running task or handler has trapped the cancel at its timeout, and this process ends (worker/worker.c). */
extern bool aside_ends_by_timer(void);

/* The running commit is the last of its command; the running command is part of a session (worker/worker.c). */
extern bool aside_last_commit;
extern bool aside_in_session;

/* The caller of the running request is in another database (worker/worker.c). */
extern bool aside_caller_is_elsewhere(void);
extern void aside_reset_setting(const char *name, bool local);
extern const aside_identity *aside_acting(void);

/* The statement that ran last (worker/exec.c). */
extern QueryCompletion aside_last_completion;

/* A C string in database encoding as bytes; lends it. */
static inline aside_bytes
aside_text_bytes(const char *text)
{
	aside_bytes bytes = {(const uint8_t *) text, strlen(text)};

	return bytes;
}

/*
 * The trap.  Between ASIDE_TRY and ASIDE_END_TRY server functions may throw;
 * the error is then kept, the memory context is as it was, and status says so.
 */
#define ASIDE_TRY(status) \
	do { \
		volatile aside_status *status_ = &(status); \
		MemoryContext context_ = CurrentMemoryContext; \
		PG_TRY(); \
		{

#define ASIDE_END_TRY() \
		} \
		PG_CATCH(); \
		{ \
			aside_keep_error(context_); \
			*status_ = ASIDE_SAVED; \
		} \
		PG_END_TRY(); \
	} while (0)

#endif							/* ASIDE_H */
