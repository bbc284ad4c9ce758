/*
 * module/hooks.c
 *	  The server calls these hooks around utility commands, and when somebody
 *	  drops the extension, or alters or drops the proxy of a definition.
 */
#include "call/call.h"
#include "coordinator/coordinator.h"
#include "definitions/definition.h"
#include "events/events.h"
#include "worker/worker.h"

#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/ipc.h"
#include "tcop/utility.h"
#include "utils/resowner.h"

static ProcessUtility_hook_type prev_process_utility_hook = NULL;
static object_access_hook_type prev_object_access_hook = NULL;

/*
 * What to do when a command has ended. This is read from the command before
 * it begins, because a CALL that commits frees its own tree.
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
	const char *database = aside_database_wanted(pstmt->utilityStmt);
	Aftermath	after = aftermath_of(pstmt->utilityStmt);
	Oid			vacated = database == NULL ? InvalidOid : aside_vacate(pstmt->utilityStmt, database, context);

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
		aside_announce_databases();
	/* Nobody must look for the extension in a dropped database. */
	if (OidIsValid(vacated) && !after.drops_database)
		aside_readmit_coordinator(vacated);
	if (after.commits_prepared)
	{
		/* This process does not know what that transaction has emitted, or which definitions it has changed. */
		aside_tell_coordinator(aside_topics_of_definitions() | ASIDE_TOPIC_EVENTS);
	}
}

/* Some command drops the extension. */
static void
object_access(ObjectAccessType access, Oid class, Oid object, int sub, void *arg)
{
	if (prev_object_access_hook != NULL)
		prev_object_access_hook(access, class, object, sub, arg);
	if (access == OAT_DROP && class == ExtensionRelationId)
		aside_announce_changes(aside_topics_of_definitions());
	/* The command gives a definition to another role, or ends it. */
	if ((access == OAT_DROP || access == OAT_POST_ALTER) && class == TypeRelationId && aside_is_proxy(object))
		aside_announce_changes(aside_topics_of_definitions());
}

void
aside_install_hooks(void)
{
	prev_object_access_hook = object_access_hook;
	object_access_hook = object_access;
	prev_process_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
