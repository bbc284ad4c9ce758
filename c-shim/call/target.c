/*
 * call/target.c
 *	  May the current user have commands run in another database?
 */
#include "call/call.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "access/htup_details.h"
#include "mb/pg_wchar.h"
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

/*
 * Why may commands of this user not run in that database? `what` would be
 * there. A worker may have connected to the database before any of this was
 * so, and another database has no say about text in its encoding.
 */
AsideRefusal
aside_refuse_target(Oid database, const char *name, Oid user, const char *what)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	AsideRefusal refusal = {0};
	FormData_pg_database form;

	if (!HeapTupleIsValid(tuple))
	{
		refusal.sqlstate = ERRCODE_UNDEFINED_DATABASE;
		refusal.message = psprintf("database \"%s\" does not exist", name);
		return refusal;
	}
	form = *(Form_pg_database) GETSTRUCT(tuple);
	ReleaseSysCache(tuple);
	if (!is_allowed(name))
	{
		refusal.sqlstate = ERRCODE_INSUFFICIENT_PRIVILEGE;
		refusal.message = psprintf("permission denied for database \"%s\"", name);
		refusal.detail = "It is not among those of \"aside.allow_databases\".";
		refusal.hint = "Have a superuser add it to this setting.";
	}
	else if (aside_database_aclcheck(database, user) != ACLCHECK_OK)
	{
		refusal.sqlstate = ERRCODE_INSUFFICIENT_PRIVILEGE;
		refusal.message = psprintf("permission denied for database \"%s\"", name);
		refusal.detail = "User does not have CONNECT privilege.";
	}
	else if (!form.datallowconn)
	{
		refusal.sqlstate = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
		refusal.message = psprintf("database \"%s\" is not currently accepting connections", name);
	}
	/* A command that copies the template must find nobody connected to it. */
	else if (form.datistemplate)
	{
		refusal.sqlstate = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
		refusal.message = psprintf("%s cannot be in database \"%s\", which is a template", what, name);
		refusal.detail = "Nobody can copy a template while a session is in it.";
	}
	else if (!aside_same_encoding(database))
	{
		refusal.sqlstate = ERRCODE_FEATURE_NOT_SUPPORTED;
		refusal.message = psprintf("%s cannot be in database \"%s\", which has another encoding", what, name);
		refusal.detail = psprintf("Its encoding is %s, that of this database is %s.",
								  pg_encoding_to_char(form.encoding), GetDatabaseEncodingName());
		refusal.hint = "Use a client connection, for example with dblink.";
	}
	return refusal;
}

/* Raises why commands of this user may not run in that database. */
void
aside_check_reach(Oid database, const char *name, Oid user, const char *what)
{
	AsideRefusal refusal = aside_refuse_target(database, name, user, what);

	if (refusal.message == NULL)
		return;
	ereport(ERROR,
			(errcode(refusal.sqlstate),
			 errmsg_internal("%s", refusal.message),
			 refusal.detail == NULL ? 0 : errdetail_internal("%s", refusal.detail),
			 refusal.hint == NULL ? 0 : errhint("%s", refusal.hint)));
}

/* May the current user have a session in that database? Raises why not. */
void
aside_check_target(Oid database, const char *name)
{
	HeapTuple	tuple;

	if (database == MyDatabaseId)
		return;
	aside_check_reach(database, name, GetUserId(), "autonomous session");
	aside_check_reach(database, name, GetAuthenticatedUserId(), "autonomous session");
	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	if (HeapTupleIsValid(tuple))
	{
		int			limit = ((Form_pg_database) GETSTRUCT(tuple))->datconnlimit;

		ReleaseSysCache(tuple);
		check_limits(database, limit, name);
	}
}
