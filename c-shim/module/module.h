/*
 * module/module.h
 *	  What the module gives to every room: settings, shared memory, and new
 *	  processes.
 */
#ifndef ASIDE_MODULE_H
#define ASIDE_MODULE_H

#include "base/aside.h"

#include "postmaster/bgworker.h"
#include "storage/condition_variable.h"
#include "storage/dsm.h"
#include "tcop/utility.h"

/* In front of each pool, on cache lines of its own. */
typedef struct AsidePrefix
{
	ConditionVariable slot_free;
	dsm_handle	tasks;			/* of a private pool; 0: none yet */
} AsidePrefix;

#define ASIDE_PREFIX_SIZE TYPEALIGN(128, sizeof(AsidePrefix))

/* What a worker is told at its launch, in bgw_extra. */
typedef struct AsideLaunch
{
	uint64		generation;
	Oid			database;
	Oid			user;
	bool		superuser;
	dsm_handle	segment;		/* DSM_HANDLE_INVALID: the server's pool */
} AsideLaunch;

/* The pool that this process has mapped. */
typedef struct AsidePool
{
	aside_pool *handle;
	AsidePrefix *prefix;
	uint32		slots;
	dsm_handle	segment;
	bool		has_tasks;		/* their table is attached */
} AsidePool;

/* What becomes of a transaction that an autonomous routine has not ended. */
typedef enum AsideAtExit
{
	ASIDE_EXIT_COMMIT,
	ASIDE_EXIT_ERROR,
} AsideAtExit;

/* Who waits for the log to be flushed. */
typedef enum AsideCommitWait
{
	ASIDE_WAIT_WORKER,
	ASIDE_WAIT_CALLER,
} AsideCommitWait;

/* module/guc.c */
extern int	aside_max_workers;
extern int	aside_min_workers;
extern int	aside_max_workers_per_role;
extern int	aside_max_workers_per_session;
extern int	aside_checkout_timeout;
extern int	aside_worker_idle_timeout;
extern int	aside_max_depth;
extern int	aside_poll_time;
extern int	aside_nap_time;
extern int	aside_commit_wait;
extern int	aside_queue_size;
extern int	aside_plan_cache_size;
extern int	aside_max_tasks;
extern int	aside_max_tasks_per_role;
extern int	aside_max_handlers_per_role;
extern int	aside_history_retention;
extern int	aside_max_events_per_role;
extern int	aside_max_handlers_per_channel;
extern int	aside_max_schedules_per_role;
extern int	aside_max_jobs_per_role;
extern int	aside_task_memory;
extern int	aside_task_result_limit;
extern int	aside_task_results_per_role;
extern int	aside_task_retention;
extern int	aside_task_timeout;
extern int	aside_session_idle_timeout;
extern char *aside_task_label;
extern char *aside_allow_databases;
extern char *aside_databases;
extern int	aside_reserved_coordinators;
extern int	aside_max_event_depth;
extern bool aside_open_channels;
extern int	aside_event_rotation_size;
extern int	aside_event_rotation_time;
extern int	aside_uncommitted_at_exit;
extern bool aside_caller_stack;
extern void aside_define_settings(void);

/* module/shmem.c */
extern aside_registry *aside_event_registry;
extern void aside_request_shmem(void);
extern bool aside_is_shared(void);
extern AsidePool *aside_mapped_pool(void);
extern AsidePool *aside_worker_pool(void);
extern void aside_map_pool(bool create);
extern bool aside_map_worker_pool(dsm_handle segment);
extern bool aside_find_tasks(AsidePool *of, bool create);

/* module/launch.c */
extern void aside_register_process(const char *type, const char *function, Datum arg);
extern bool aside_start_process(const char *type, const char *function, BgWorkerStartTime when, Datum arg,
								const void *extra, size_t length, BackgroundWorkerHandle **handle);
extern aside_status aside_launch_worker(uint32_t slot, uint64_t generation,
										uint32_t database, uint32_t user, bool superuser);
extern bool aside_launch_failed(uint32_t slot);

/* module/vacate.c */
extern const char *aside_database_wanted(Node *statement);
extern Oid	aside_vacate(Node *statement, const char *database, ProcessUtilityContext context);

/* module/hooks.c */
extern void aside_install_hooks(void);

#endif							/* ASIDE_MODULE_H */
