/*
 * module/guc.c
 *	  The settings of pg_aside.
 */
#include "module/module.h"

#include <limits.h>

#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/guc.h"
#include "utils/varlena.h"

int			aside_max_workers = 8;
int			aside_min_workers = 0;
int			aside_max_workers_per_role = 0;
int			aside_max_workers_per_session = 0;
int			aside_checkout_timeout = 10000;
int			aside_worker_idle_timeout = 60000;
int			aside_max_depth = 16;
int			aside_poll_time = 50;
int			aside_nap_time = 10;
int			aside_queue_size = 256;
int			aside_plan_cache_size = 128;
int			aside_max_tasks = 2000;
int			aside_max_tasks_per_role = 0;
int			aside_max_handlers_per_role = 0;
int			aside_max_events_per_role = 0;
int			aside_max_handlers_per_channel = 0;
int			aside_max_schedules_per_role = 0;
int			aside_max_jobs_per_role = 0;
int			aside_task_memory = 2048;
int			aside_task_result_limit = 1024 * 1024;
int			aside_task_results_per_role = 0;
int			aside_task_retention = 3600 * 1000;
int			aside_task_timeout = 0;
int			aside_session_idle_timeout = 0;
char	   *aside_task_label = NULL;
char	   *aside_databases = NULL;
char	   *aside_allow_databases = NULL;
int			aside_reserved_coordinators = 1;
int			aside_max_event_depth = 100;
bool		aside_open_channels = true;
int			aside_event_rotation_size = 64 * 1024;
int			aside_event_rotation_time = 600 * 1000;
int			aside_history_retention = 7 * 24 * 60;
bool		aside_caller_stack = false;
int			aside_uncommitted_at_exit = ASIDE_EXIT_COMMIT;
int			aside_commit_wait = ASIDE_WAIT_WORKER;

static const struct config_enum_entry commit_wait_options[] = {
	{"worker", ASIDE_WAIT_WORKER, false},
	{"caller", ASIDE_WAIT_CALLER, false},
	{NULL, 0, false},
};

static const struct config_enum_entry at_exit_options[] = {
	{"commit", ASIDE_EXIT_COMMIT, false},
	{"error", ASIDE_EXIT_ERROR, false},
	{NULL, 0, false},
};

static bool
check_databases(char **value, void **extra, GucSource source)
{
	char	   *copy = pstrdup(*value);
	List	   *names = NIL;
	bool		valid = SplitIdentifierString(copy, ',', &names);

	if (!valid)
		GUC_check_errdetail("List syntax is invalid.");
	pfree(copy);
	list_free(names);
	return valid;
}

/* What the variable has before is the default. */
static void
number(const char *name, const char *description, const char *more, int *value, int least, int most,
	   GucContext context, int flags)
{
	DefineCustomIntVariable(name, description, more, value, *value, least, most, context, flags, NULL, NULL, NULL);
}

void
aside_define_settings(void)
{
	/*
	 * A setting that fixes the size of shared memory can be set before that
	 * memory is laid out, by the process that lays it out.
	 */
	GucContext	fixed = process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SUSET;

	number("aside.max_workers",
		   "Maximum number of workers that run autonomous transactions.",
		   "Of the cluster if pg_aside is in shared_preload_libraries, else of each session.",
		   &aside_max_workers, 1, 1024,
		   fixed, 0);
	number("aside.queue_size",
		   "Size of each worker's queue of result rows.",
		   NULL,
		   &aside_queue_size, 4, 65536,
		   fixed, GUC_UNIT_KB);
	number("aside.min_workers",
		   "Number of workers started together and kept while idle, for each database and user.",
		   NULL,
		   &aside_min_workers, 0, 1024,
		   PGC_SIGHUP, 0);
	number("aside.max_workers_per_role",
		   "Maximum number of workers authenticated as one role.",
		   "Zero means no limit.",
		   &aside_max_workers_per_role, 0, 1024,
		   PGC_SUSET, 0);
	number("aside.max_workers_per_session",
		   "Maximum number of workers that one session uses at a time.",
		   "Zero means no limit.",
		   &aside_max_workers_per_session, 0, 1024,
		   PGC_SUSET, 0);
	number("aside.checkout_timeout",
		   "Time that a call waits for a worker to be free.",
		   NULL,
		   &aside_checkout_timeout, 0, INT_MAX,
		   PGC_USERSET, GUC_UNIT_MS);
	number("aside.worker_idle_timeout",
		   "Time after which an idle worker leaves.",
		   NULL,
		   &aside_worker_idle_timeout, 1, INT_MAX,
		   PGC_SIGHUP, GUC_UNIT_MS);
	number("aside.max_depth",
		   "Maximum depth of autonomous transactions within autonomous transactions.",
		   NULL,
		   &aside_max_depth, 1, 1024,
		   PGC_SUSET, 0);
	number("aside.poll_time",
		   "Time in microseconds to poll for an answer before sleeping.",
		   "Zero means never to poll. Nobody polls while processors are short.",
		   &aside_poll_time, 0, 60000000,
		   PGC_USERSET, 0);
	number("aside.nap_time",
		   "Time to sleep on a word of shared memory before sleeping on the latch.",
		   "Zero means to sleep on the latch at once. Only Linux has the other way to sleep.",
		   &aside_nap_time, 0, 60000,
		   PGC_USERSET, GUC_UNIT_MS);
	number("aside.plan_cache_size",
		   "Number of plans that each worker keeps for repeated commands.",
		   NULL,
		   &aside_plan_cache_size, 0, 100000,
		   PGC_SIGHUP, 0);
	number("aside.history_retention",
		   "Time for which runs of schedules are kept in aside.schedule_runs.",
		   NULL,
		   &aside_history_retention, 0, INT_MAX,
		   PGC_SIGHUP, GUC_UNIT_MIN);
	number("aside.max_tasks",
		   "Maximum number of tasks that are known at a time.",
		   "Ended ones make room for new ones, those that were read first.",
		   &aside_max_tasks, 16, 1000000,
		   fixed, 0);
	number("aside.max_tasks_per_role",
		   "Maximum number of tasks of one role that are known at a time.",
		   "Zero means no limit but that of aside.max_tasks. Ended ones make room for new ones of the role.",
		   &aside_max_tasks_per_role, 0, 1000000,
		   PGC_SUSET, 0);
	number("aside.max_events_per_role",
		   "Maximum number of events that one role has emitted in a database and that are still to be handled.",
		   "Zero means no limit.",
		   &aside_max_events_per_role, 0, INT_MAX,
		   PGC_SUSET, 0);
	number("aside.max_handlers_per_role",
		   "Maximum number of event handlers that one role makes in a database.",
		   "Zero means no limit.",
		   &aside_max_handlers_per_role, 0, 1000000,
		   PGC_SUSET, 0);
	number("aside.max_handlers_per_channel",
		   "Maximum number of event handlers of one channel.",
		   "Zero means no limit.",
		   &aside_max_handlers_per_channel, 0, 1000000,
		   PGC_SUSET, 0);
	number("aside.max_schedules_per_role",
		   "Maximum number of schedules that one role has in a database.",
		   "Zero means no limit.",
		   &aside_max_schedules_per_role, 0, 1000000,
		   PGC_SUSET, 0);
	number("aside.max_jobs_per_role",
		   "Maximum number of jobs in chunks of one role that go on in a database.",
		   "Zero means no limit.",
		   &aside_max_jobs_per_role, 0, 1000000,
		   PGC_SUSET, 0);
	number("aside.task_memory",
		   "Memory for commands and results of tasks.",
		   "What does not fit is kept in temporary files.",
		   &aside_task_memory, 64, 1024 * 1024,
		   fixed, GUC_UNIT_KB);
	number("aside.task_result_limit",
		   "Maximum size of the result of a task.",
		   "A task that returns more fails.",
		   &aside_task_result_limit, 0, INT_MAX,
		   PGC_SUSET, GUC_UNIT_KB);
	number("aside.task_results_per_role",
		   "Maximum size of all results of the tasks of one role.",
		   "Zero means no limit. Results that were read make room; without room a task fails.",
		   &aside_task_results_per_role, 0, INT_MAX,
		   PGC_SUSET, GUC_UNIT_KB);
	number("aside.task_retention",
		   "Time for which a task that has ended is known.",
		   NULL,
		   &aside_task_retention, 0, INT_MAX,
		   PGC_SIGHUP, GUC_UNIT_MS);
	number("aside.task_timeout",
		   "Maximum duration of the tasks that this session starts.",
		   "Zero means no limit.",
		   &aside_task_timeout, 0, INT_MAX,
		   PGC_USERSET, GUC_UNIT_MS);
	number("aside.session_idle_timeout",
		   "Time after which an autonomous session ends that runs nothing.",
		   "Zero means never.",
		   &aside_session_idle_timeout, 0, INT_MAX,
		   PGC_USERSET, GUC_UNIT_MS);
	DefineCustomStringVariable("aside.task_label",
							   "Label of the tasks that this session starts.",
							   NULL,
							   &aside_task_label, "",
							   PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("aside.databases",
							   "Databases in which events are handled.",
							   "A list of names; * is all that allow connections and are no templates.",
							   &aside_databases, "*",
							   PGC_SIGHUP, GUC_LIST_INPUT, check_databases, NULL, NULL);
	DefineCustomStringVariable("aside.allow_databases",
							   "Databases in which sessions of other databases may be opened.",
							   "A list of names; * is all. None is ever opened in a template.",
							   &aside_allow_databases, "*",
							   PGC_SUSET, GUC_LIST_INPUT, check_databases, NULL, NULL);
	number("aside.reserved_coordinators",
		   "Number of worker slots that are kept for coordinators of events.",
		   "Those of further databases take slots that others have left.",
		   &aside_reserved_coordinators, 0, ASIDE_RESERVE_PLACES,
		   fixed, 0);
	number("aside.max_event_depth",
		   "Maximum depth of events emitted by the handlers of events.",
		   NULL,
		   &aside_max_event_depth, 1, 1000000,
		   PGC_SUSET, 0);
	number("aside.event_rotation_size",
		   "Size of the tables of events from which on others take their turn.",
		   "Tables of events are emptied as a whole when others are in use.",
		   &aside_event_rotation_size, 8, INT_MAX,
		   PGC_SIGHUP, GUC_UNIT_KB);
	number("aside.event_rotation_time",
		   "Age of the tables of events from which on others take their turn.",
		   "Events that are still to be handled that much later go along.",
		   &aside_event_rotation_time, 1000, INT_MAX,
		   PGC_SIGHUP, GUC_UNIT_MS);
	DefineCustomEnumVariable("aside.uncommitted_at_exit",
							 "What becomes of a transaction that an autonomous routine has not ended.",
							 "\"error\" rolls it back and raises an error (2D000).",
							 &aside_uncommitted_at_exit, ASIDE_EXIT_COMMIT, at_exit_options,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("aside.commit_wait",
							 "Who waits until the commit of an autonomous call is on disk, and on standbys.",
							 "\"caller\" has the worker serve the next call meanwhile; others see the effects before.",
							 &aside_commit_wait, ASIDE_WAIT_WORKER, commit_wait_options,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("aside.open_channels",
							 "Allow events on channels that nobody has created.",
							 "Without it only channels made by async_channel_create() can be used.",
							 &aside_open_channels, true,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("aside.caller_stack",
							 "Tell autonomous code where in its caller's code it was called.",
							 "aside.caller() shows it.",
							 &aside_caller_stack, false,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	MarkGUCPrefixReserved("aside");
}
