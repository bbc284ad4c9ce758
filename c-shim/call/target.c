/*
 * call/target.c
 *	  May the current user have commands run in another database?
 */
#include "call/call.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "access/htup_details.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/acl.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

/* Is this database among those of aside.allow_databases? */
static bool
is_allowed(const char *name)
{
	char	   *copy = pstrdup(aside_allow_databases);
	List	   *names = NIL;
	ListCell   *cell;
	bool		allowed = false;

	(void) SplitIdentifierString(copy, ',', &names);
	foreach(cell, names)
		allowed |= strcmp(lfirst(cell), "*") == 0 || strcmp(lfirst(cell), name) == 0;
	return allowed;
}

static void
check_may_connect(Oid database, const char *name)
{
	if (!is_allowed(name))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for database \"%s\"", name),
				 errdetail("It is not among those of \"aside.allow_databases\"."),
				 errhint("Have a superuser add it to this setting.")));
	if (aside_database_aclcheck(database, GetUserId()) == ACLCHECK_OK &&
		aside_database_aclcheck(database, GetAuthenticatedUserId()) == ACLCHECK_OK)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for database \"%s\"", name),
			 errdetail("User does not have CONNECT privilege.")));
}

/* The server counts no background workers, so workers in use are added. Superusers have no limit. */
static void
check_limits(Oid database, int limit, const char *name)
{
	Oid			user = GetAuthenticatedUserId();
	aside_pool *pool = aside_caller_pool(true)->handle;
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(user));
	int			role_limit = -1;

	if (HeapTupleIsValid(tuple))
	{
		role_limit = ((Form_pg_authid) GETSTRUCT(tuple))->rolconnlimit;
		ReleaseSysCache(tuple);
	}
	if (superuser_arg(user))
		return;
	if (limit >= 0 && CountDBConnections(database) + (int) aside_pool_in_use(pool, database, InvalidOid) >= limit)
		ereport(ERROR,
				(errcode(ERRCODE_TOO_MANY_CONNECTIONS),
				 errmsg("too many connections for database \"%s\"", name)));
	if (role_limit >= 0 && CountUserBackends(user) + (int) aside_pool_in_use(pool, InvalidOid, user) >= role_limit)
		ereport(ERROR,
				(errcode(ERRCODE_TOO_MANY_CONNECTIONS),
				 errmsg("too many connections for role \"%s\"", GetUserNameFromId(user, false))));
}

static void
check_database(Oid database, const char *name)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	FormData_pg_database form;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_DATABASE),
				 errmsg("database \"%s\" does not exist", name)));
	form = *(Form_pg_database) GETSTRUCT(tuple);
	ReleaseSysCache(tuple);
	/* A worker may have connected to the database before that. */
	if (!form.datallowconn)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("database \"%s\" is not currently accepting connections", name)));
	/* A command that copies the template must find nobody connected to it. */
	if (form.datistemplate)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("autonomous session cannot be in database \"%s\", which is a template", name),
				 errdetail("Nobody can copy a template while a session is in it.")));
	aside_refuse_encoding(database,
						  psprintf("autonomous session cannot be in database \"%s\", which has another encoding", name),
						  "Use a client connection, for example with dblink.");
	check_limits(database, form.datconnlimit, name);
}

/* May the current user have commands run in that database? Raises why not. */
void
aside_check_target(Oid database, const char *name)
{
	if (database == MyDatabaseId)
		return;
	check_may_connect(database, name);
	check_database(database, name);
}
