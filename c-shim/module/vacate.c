/*
 * module/vacate.c
 *	  Clears a database for a command that needs it for itself: our idle
 *	  workers leave first, and so does the coordinator.
 */
#include "call/call.h"
#include "coordinator/coordinator.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/latch.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/syscache.h"

/* A command waits for idle workers to leave for as long as CountOtherDBBackends() waits. */
#define RETIRE_TRIES 500
#define RETIRE_NAP_MS 10

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
const char *
aside_database_wanted(Node *statement)
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

/*
 * Will the server let this user run the command? No worker of another user
 * must leave for a command that the server refuses.
 */
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
 * Have our idle workers leave a database, and its coordinator with what it
 * has running. Other workers that are busy stay, and the server then says who
 * is in the way.
 */
Oid
aside_vacate(Node *statement, const char *database, ProcessUtilityContext context)
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
