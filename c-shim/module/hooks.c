/*
 * module/hooks.c
 *	  Where the server calls us: at the end of a worker's transactions,
 *	  before commands that need a database for themselves, after COMMIT
 *	  PREPARED, and when the extension is dropped or the proxy of a
 *	  definition altered or dropped.
 */
#include "definitions/definition.h"

#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "catalog/storage.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "tcop/utility.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/syscache.h"

/* How long a command waits for idle workers to be gone: as long as CountOtherDBBackends does. */
#define RETIRE_TRIES 500
#define RETIRE_NAP_MS 10

/* The worker's tenant has used temporary tables. */
bool		aside_temp_touched = false;

static ProcessUtility_hook_type prev_process_utility_hook = NULL;
static object_access_hook_type prev_object_access_hook = NULL;

/*
 * The commit gate.  The server calls this after deferred triggers have run;
 * an error raised here still aborts the transaction.
 */
static void
refuse_commit(void)
{
	if (aside_cancelled_by_deadlock(aside_worker_pool()->handle))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_DEADLOCK_DETECTED),
				 errmsg("deadlock detected")));
	ereport(ERROR,
			(errcode(ERRCODE_QUERY_CANCELED),
			 errmsg("canceling autonomous transaction because its caller has given up")));
}

static void
settle_task(aside_pool *pool)
{
	aside_status status = aside_settle_task(pool, aside_get_worker_host());

	if (status != ASIDE_OK)
		aside_refuse_reply(status);
}

static void
transaction_event(XactEvent event, void *arg)
{
	aside_pool *pool = aside_worker_pool()->handle;

	/* A process that exits commits nothing of its caller's: it drops its temporary tables, whatever the gate says. */
	if (proc_exit_inprogress && event != XACT_EVENT_ABORT)
		return;
	if ((MyXactFlags & XACT_FLAGS_ACCESSEDTEMPNAMESPACE) != 0)
		aside_temp_touched = true;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			settle_task(pool);
			if (aside_gate_pre_commit(pool, U64FromFullTransactionId(GetTopFullTransactionIdIfAny())) != ASIDE_OK)
				refuse_commit();
			break;
		case XACT_EVENT_COMMIT:
			/* A cancel that came during this commit may have been used up by its wait for a standby. */
			if (aside_gate_committed(pool))
			{
				QueryCancelPending = true;
				InterruptPending = true;
			}
			break;
		case XACT_EVENT_ABORT:
			aside_gate_aborted(pool);
			break;
		case XACT_EVENT_PRE_PREPARE:
			/* Until its very end nobody can finish the prepared transaction: the caller is told after it. */
			aside_last_commit = false;
			break;
		default:
			break;
	}
}

/* Of tables dropped or truncated: a tablespace, say, is empty only when they are gone. */
static bool
has_files_to_delete(void)
{
	AsideRelFile *files;
	int			count = smgrGetPendingDeletes(true, &files);

	if (count > 0)
		pfree(files);
	return count > 0;
}

/*
 * The server has made the commit visible and released its locks, and goes on
 * to clean up; nothing after this can undo it or be waited for.  A commit
 * within a procedure is not the end of its command: host_commit says which is.
 */
static void
resources_released(ResourceReleasePhase phase, bool commit, bool top_level, void *arg)
{
	if (phase != RESOURCE_RELEASE_AFTER_LOCKS || !aside_last_commit)
		return;
	if (!commit || !top_level || CurrentResourceOwner != TopTransactionResourceOwner)
		return;
	/* What others could still run into is gone before the caller goes on; some of it takes longer. */
	if (has_files_to_delete())
		return;
	/* A session keeps its temporary tables and locks. */
	if (!aside_in_session)
	{
		if (aside_temp_touched)
			return;
		LockReleaseAll(USER_LOCKMETHOD, true);
	}
	aside_commit_settled(aside_worker_pool()->handle, aside_get_worker_host());
}

/* Tasks that were to start with this transaction, in whatever process it runs. */
static void
tasks_of_transaction(XactEvent event, void *arg)
{
	AsidePool  *pool = aside_caller_pool(false);

	if (pool == NULL || !aside_tasks_pending(pool->handle))
		return;
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			aside_tasks_transaction(pool->handle, aside_get_caller_host(), ASIDE_END_COMMIT, 0, 0);
			break;
		case XACT_EVENT_ABORT:
			aside_tasks_transaction(pool->handle, aside_get_caller_host(), ASIDE_END_ABORT, 0, 0);
			break;
		case XACT_EVENT_PRE_PREPARE:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot PREPARE a transaction that starts tasks when it commits")));
			break;
		default:
			break;
	}
}

static void
tasks_of_subtransaction(SubXactEvent event, SubTransactionId own, SubTransactionId parent, void *arg)
{
	AsidePool  *pool = aside_caller_pool(false);

	if (pool == NULL || !aside_tasks_pending(pool->handle))
		return;
	if (event == SUBXACT_EVENT_COMMIT_SUB)
		aside_tasks_transaction(pool->handle, aside_get_caller_host(), ASIDE_END_SUBCOMMIT, own, parent);
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		aside_tasks_transaction(pool->handle, aside_get_caller_host(), ASIDE_END_SUBABORT, own, parent);
}

void
aside_watch_submitter(void)
{
	static bool watching = false;

	if (watching)
		return;
	watching = true;
	RegisterXactCallback(tasks_of_transaction, NULL);
	RegisterSubXactCallback(tasks_of_subtransaction, NULL);
}

void
aside_watch_transactions(void)
{
	RegisterXactCallback(transaction_event, NULL);
	RegisterResourceReleaseCallback(resources_released, NULL);
}

static const char *
option_text(List *options, const char *name)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, name) == 0 && option->arg != NULL)
			return defGetString(option);
	}
	return NULL;
}

/* The database that nobody else may be connected to while this command runs; NULL if none. */
static const char *
database_wanted(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_DropdbStmt:
			return ((DropdbStmt *) statement)->dbname;
		case T_RenameStmt:
			return ((RenameStmt *) statement)->renameType == OBJECT_DATABASE ?
				((RenameStmt *) statement)->subname : NULL;
		case T_CreatedbStmt:
			{
				const char *source = option_text(((CreatedbStmt *) statement)->options, "template");

				return source != NULL ? source : "template1";
			}
		case T_AlterDatabaseStmt:
			return option_text(((AlterDatabaseStmt *) statement)->options, "tablespace") != NULL ?
				((AlterDatabaseStmt *) statement)->dbname : NULL;
		default:
			return NULL;
	}
}

/* The server's own answer, have_createdb_privilege(), is not exported by all minor releases of 15. */
static bool
may_create_databases(void)
{
	HeapTuple	tuple;
	bool		answer = false;

	if (superuser())
		return true;
	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	if (HeapTupleIsValid(tuple))
	{
		answer = ((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb;
		ReleaseSysCache(tuple);
	}
	return answer;
}

static bool
is_template(Oid database)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	bool		answer = false;

	if (HeapTupleIsValid(tuple))
	{
		answer = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
		ReleaseSysCache(tuple);
	}
	return answer;
}

/* Will the server let this user run the command?  Nobody else's workers are to leave for one that it refuses. */
static bool
may_run(Node *statement, Oid database, ProcessUtilityContext context)
{
	bool		own = aside_owns_database(database, GetUserId());
	bool		here = database == MyDatabaseId;
	bool		alone = context == PROCESS_UTILITY_TOPLEVEL && !IsTransactionBlock() && !IsSubTransaction();

	switch (nodeTag(statement))
	{
		case T_CreatedbStmt:
			{
				const char *owner = option_text(((CreatedbStmt *) statement)->options, "owner");

				return alone && may_create_databases() && (own || is_template(database)) &&
					!OidIsValid(get_database_oid(((CreatedbStmt *) statement)->dbname, true)) &&
					(owner == NULL || aside_may_give_to(GetUserId(), get_role_oid(owner, true)));
			}
		case T_RenameStmt:
			return own && !here && may_create_databases() &&
				!OidIsValid(get_database_oid(((RenameStmt *) statement)->newname, true));
		case T_DropdbStmt:
			return alone && own && !here && !is_template(database);
		default:
			return alone && own && !here;
	}
}

/*
 * Our idle workers leave a database, and so does its coordinator, with what
 * it has running; others at work stay, and the server says who is in the way.
 */
static Oid
vacate(Node *statement, const char *database, ProcessUtilityContext context)
{
	AsidePool  *pool = aside_caller_pool(false);
	Oid			oid = get_database_oid(database, true);
	aside_world world;

	if (pool == NULL || !OidIsValid(oid) || !may_run(statement, oid, context))
		return InvalidOid;
	memset(&world, 0, sizeof(world));
	aside_fill_world(&world);
	for (int tries = 0; tries < RETIRE_TRIES; tries++)
	{
		bool		coordinated = aside_vacate_coordinator(oid);

		if (aside_pool_retire(pool->handle, &world, oid) == 0 && !coordinated)
			break;
		(void) WaitLatch(MyLatch, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, RETIRE_NAP_MS,
						 ASIDE_WAIT_EVENT("AsideWorkerExit"));
		CHECK_FOR_INTERRUPTS();
	}
	return oid;
}

/*
 * What is to be done when a command has ended.  It is taken from the command
 * before it begins: a CALL that commits frees its own tree on the way.
 */
typedef struct Aftermath
{
	bool		resets;			/* in a worker: settings go back to what the caller would get */
	bool		resets_locally;
	char	   *setting;		/* NULL: all */
	bool		discards;
	bool		drops_database;
	bool		commits_prepared;
} Aftermath;

static Aftermath
aftermath_of(Node *statement)
{
	VariableSetStmt *set = (VariableSetStmt *) statement;
	Aftermath	after = {
		.discards = IsA(statement, DiscardStmt) && ((DiscardStmt *) statement)->target == DISCARD_ALL,
		.drops_database = IsA(statement, DropdbStmt),
		.commits_prepared = IsA(statement, TransactionStmt) &&
		((TransactionStmt *) statement)->kind == TRANS_STMT_COMMIT_PREPARED,
	};

	if (aside_worker_pool() == NULL)
		return after;
	if (after.discards || (IsA(statement, VariableSetStmt) && set->kind == VAR_RESET_ALL))
		after.resets = true;
	else if (IsA(statement, VariableSetStmt) && (set->kind == VAR_RESET || set->kind == VAR_SET_DEFAULT))
	{
		after.resets = true;
		after.resets_locally = set->is_local;
		after.setting = pstrdup(set->name);
	}
	return after;
}

static void
process_utility(PlannedStmt *pstmt, const char *query, bool read_only, ProcessUtilityContext context,
				ParamListInfo params, QueryEnvironment *env, DestReceiver *dest,
				QueryCompletion *completion)
{
	const char *database = database_wanted(pstmt->utilityStmt);
	Aftermath	after = aftermath_of(pstmt->utilityStmt);
	Oid			vacated = database == NULL ? InvalidOid : vacate(pstmt->utilityStmt, database, context);

	PG_TRY();
	{
		if (prev_process_utility_hook != NULL)
			prev_process_utility_hook(pstmt, query, read_only, context, params, env, dest, completion);
		else
			standard_ProcessUtility(pstmt, query, read_only, context, params, env, dest, completion);
	}
	PG_CATCH();
	{
		if (OidIsValid(vacated))
			aside_readmit_coordinator(vacated);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (after.resets)
		aside_reset_setting(after.setting, after.resets_locally);
	if (after.discards)
		aside_discard_sessions();
	if (database != NULL)
		aside_note_databases();
	/* In a database that was dropped nobody is to look for the extension. */
	if (OidIsValid(vacated) && !after.drops_database)
		aside_readmit_coordinator(vacated);
	if (after.commits_prepared)
	{
		/* What that transaction has emitted, or which handlers it has changed, nobody remembers here. */
		aside_say_handlers();
		aside_say_events();
	}
}

/* The extension is dropped, by whatever command. */
static void
object_access(ObjectAccessType access, Oid class, Oid object, int sub, void *arg)
{
	if (prev_object_access_hook != NULL)
		prev_object_access_hook(access, class, object, sub, arg);
	if (access == OAT_DROP && class == ExtensionRelationId)
		aside_note_handlers();
	/* A definition is handed on, or given up. */
	if ((access == OAT_DROP || access == OAT_POST_ALTER) && class == TypeRelationId && aside_is_proxy(object))
		aside_note_handlers();
}

void
aside_install_hooks(void)
{
	prev_object_access_hook = object_access_hook;
	object_access_hook = object_access;
	prev_process_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
