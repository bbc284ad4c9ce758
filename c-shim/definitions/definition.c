/*
 * definitions/definition.c
 *	  The proxies of definitions, and whether what a role has defined may run.
 *
 * The server does not know that a row acts for a role. So each definition has
 * a proxy in schema aside: a type without a body, which the role owns. The
 * server then treats a definition as it treats a table. It refuses to drop a
 * role that owns one, from any database; REASSIGN OWNED and ALTER TYPE hand it
 * on; DROP OWNED ends it; pg_dump writes its owner by name. A definition acts
 * for the owner of its proxy. Its row holds a copy of that role's name, by
 * which a restored row finds its owner (definitions/triggers.c).
 */
#include "definitions/definition.h"
#include "events/events.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/typecmds.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(aside_definition_owner_sql);
PG_FUNCTION_INFO_V1(aside_definition_proxy_sql);
PG_FUNCTION_INFO_V1(aside_definition_obstacle_sql);
PG_FUNCTION_INFO_V1(aside_definition_end_sql);
PG_FUNCTION_INFO_V1(aside_definition_keep_sql);

/* The kinds of definitions, and what a coordinator is told when some of a kind have changed. */
static const struct
{
	const char *kind;
	aside_topic topic;
}			kinds[] = {
	{"handler", ASIDE_TOPIC_HANDLERS},
	{"schedule", ASIDE_TOPIC_SCHEDULES},
	{"job", ASIDE_TOPIC_JOBS},
	{"channel", ASIDE_TOPIC_HANDLERS},
	{"channel grant", ASIDE_TOPIC_HANDLERS},
};

uint32
aside_topic_of(const char *kind)
{
	for (int i = 0; i < lengthof(kinds); i++)
		if (strcmp(kinds[i].kind, kind) == 0)
			return kinds[i].topic;
	elog(ERROR, "no definition is of kind \"%s\"", kind);
	return 0;
}

uint32
aside_topics_of_definitions(void)
{
	uint32		topics = 0;

	for (int i = 0; i < lengthof(kinds); i++)
		topics |= kinds[i].topic;
	return topics;
}

/*
 * A name such as "handler orders (12)", for a user who reads why a role
 * cannot be dropped. The id keeps names apart that are cut off.
 */
static void
proxy_name(const AsideDefinition *definition, char *out)
{
	char		tail[32];
	int			room;

	snprintf(tail, sizeof(tail), " (" INT64_FORMAT ")", definition->id);
	room = NAMEDATALEN - 1 - strlen(definition->kind) - 1 - strlen(tail);
	snprintf(out, NAMEDATALEN, "%s %.*s%s", definition->kind,
			 pg_mbcliplen(definition->name, strlen(definition->name), room), definition->name, tail);
}

/* Invalid: there is no such type, or it is no proxy. */
static Oid
find_proxy(const AsideDefinition *definition, Oid *owner)
{
	Oid			schema = get_namespace_oid("aside", true);
	Oid			proxy = InvalidOid;
	char		name[NAMEDATALEN];
	HeapTuple	tuple;

	*owner = InvalidOid;
	proxy_name(definition, name);
	tuple = SearchSysCache2(TYPENAMENSP, CStringGetDatum(name), ObjectIdGetDatum(schema));
	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	if (!((Form_pg_type) GETSTRUCT(tuple))->typisdefined)
	{
		proxy = ((Form_pg_type) GETSTRUCT(tuple))->oid;
		*owner = ((Form_pg_type) GETSTRUCT(tuple))->typowner;
	}
	ReleaseSysCache(tuple);
	return proxy;
}

/* Is this type a proxy? The hook asks this for every type that somebody alters or drops. */
bool
aside_is_proxy(Oid type)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	bool		answer;

	if (!HeapTupleIsValid(tuple))
		return false;
	answer = !((Form_pg_type) GETSTRUCT(tuple))->typisdefined &&
		((Form_pg_type) GETSTRUCT(tuple))->typnamespace == get_namespace_oid("aside", true);
	ReleaseSysCache(tuple);
	return answer;
}

/* The role that the definition acts for. Invalid: none, because the definition has ended. */
Oid
aside_definition_owner(const AsideDefinition *definition)
{
	Oid			owner;

	(void) find_proxy(definition, &owner);
	return owner;
}

/*
 * DROP EXTENSION must drop the proxies, and pg_dump must dump them. Neither
 * pg_dump nor pg_upgrade keeps such a dependency.
 *
 * Nobody may drop the proxy before this transaction ends. A lock would see to
 * that, but there may be more proxies than the server has room for locks. So
 * this writes the row of the type: whoever deletes it waits, and then fails.
 */
static void
depend_on_extension(Oid proxy)
{
	Oid			extension = get_extension_oid("pg_aside", true);
	ObjectAddress own = {TypeRelationId, proxy, 0};
	ObjectAddress other = {ExtensionRelationId, extension, 0};
	Relation	types;
	HeapTuple	type;

	if (!OidIsValid(extension) || list_member_oid(getAutoExtensionsOfObject(TypeRelationId, proxy), extension))
		return;
	types = table_open(TypeRelationId, RowExclusiveLock);
	type = SearchSysCacheCopy1(TYPEOID, ObjectIdGetDatum(proxy));
	/* It may have been dropped meanwhile. */
	if (HeapTupleIsValid(type))
	{
		CatalogTupleUpdate(types, &type->t_self, type);
		recordDependencyOn(&own, &other, DEPENDENCY_AUTO_EXTENSION);
		CommandCounterIncrement();
	}
	table_close(types, RowExclusiveLock);
}

/*
 * Give the definition a proxy with this owner, and drop the one that it has.
 * Only one that is new, or was nobody's, gets a proxy if it has none.
 * The caller must check that the current user may do this.
 */
void
aside_define(const AsideDefinition *definition, Oid owner, bool is_new)
{
	Oid			was;
	Oid			proxy = find_proxy(definition, &was);

	/* Its owner has given it up since the row was looked at: so it has ended. */
	if (!OidIsValid(proxy) && !is_new)
		return;
	if (!OidIsValid(proxy))
	{
		char		name[NAMEDATALEN];

		proxy_name(definition, name);
		proxy = TypeShellMake(name, get_namespace_oid("aside", false), owner).objectId;
		CommandCounterIncrement();
		/* It is the definition's also where ALTER EXTENSION UPDATE makes it: pg_dump passes over what is the extension's. */
		if (creating_extension)
			deleteDependencyRecordsForClass(TypeRelationId, proxy, ExtensionRelationId, DEPENDENCY_EXTENSION);
	}
	else if (was != owner)
	{
		AlterTypeOwner_oid(proxy, owner, true);
		CommandCounterIncrement();
	}
	depend_on_extension(proxy);
}

void
aside_rename_definition(const AsideDefinition *from, const AsideDefinition *to)
{
	Oid			owner;
	Oid			proxy = find_proxy(from, &owner);
	char		before[NAMEDATALEN];
	char		after[NAMEDATALEN];

	proxy_name(from, before);
	proxy_name(to, after);
	if (!OidIsValid(proxy) || strcmp(before, after) == 0)
		return;
	RenameTypeInternal(proxy, after, get_namespace_oid("aside", false));
	CommandCounterIncrement();
}

/* Objects that somebody has made depend on the proxy are dropped, too. */
void
aside_end_definition(const AsideDefinition *definition)
{
	Oid			owner;
	ObjectAddress proxy = {TypeRelationId, find_proxy(definition, &owner), 0};

	if (!OidIsValid(proxy.objectId))
		return;
	performDeletion(&proxy, DROP_CASCADE, PERFORM_DELETION_INTERNAL | PERFORM_DELETION_QUIETLY);
	CommandCounterIncrement();
}

static bool
has_expired(HeapTuple role)
{
	bool		never;
	Datum		until = SysCacheGetAttr(AUTHOID, role, Anum_pg_authid_rolvaliduntil, &never);

	return !never && DatumGetTimestampTz(until) < GetCurrentTimestamp();
}

/*
 * Why no definition of this role may run now; NULL: it may. The server checks
 * the same when a role connects. The owner of the tables could have written
 * any row, so no row acts for a role whose privileges that owner does not
 * have.
 */
const char *
aside_definition_obstacle(Oid owner)
{
	Oid			tables_owner = aside_events_owner();
	Oid			users = get_role_oid("aside_user", true);
	HeapTuple	role = SearchSysCache1(AUTHOID, ObjectIdGetDatum(owner));
	const char *name;
	bool		can_login;
	bool		expired;

	if (!HeapTupleIsValid(role))
		return "its owner does not exist";
	name = pstrdup(NameStr(((Form_pg_authid) GETSTRUCT(role))->rolname));
	can_login = ((Form_pg_authid) GETSTRUCT(role))->rolcanlogin;
	expired = has_expired(role);
	ReleaseSysCache(role);
	if (!has_privs_of_role(tables_owner, owner))
		return psprintf("the tables of pg_aside belong to role \"%s\", which does not have the privileges of role \"%s\"",
						GetUserNameFromId(tables_owner, false), name);
	if (!can_login)
		return psprintf("role \"%s\" is not permitted to log in", name);
	if (expired)
		return psprintf("role \"%s\" has expired", name);
	if (aside_database_aclcheck(MyDatabaseId, owner) != ACLCHECK_OK)
		return psprintf("role \"%s\" has no CONNECT privilege for this database", name);
	if (OidIsValid(users) && !has_privs_of_role(owner, users))
		return psprintf("role \"%s\" is no member of role \"aside_user\"", name);
	return NULL;
}

/*
 * The owner of the tables may have put triggers on them. So nobody writes to
 * them whose privileges that owner does not have.
 */
void
aside_check_tables_owner(Oid owner)
{
	if (!has_privs_of_role(owner, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("the tables of pg_aside belong to role \"%s\", which does not have the privileges of role \"%s\"",
						GetUserNameFromId(owner, false), GetUserNameFromId(GetUserId(), false)),
				 errhint("Have a superuser own what belongs to the extension.")));
}

/* The arguments of all these functions: kind text, id bigint, name text. */
static AsideDefinition
definition_argument(FunctionCallInfo fcinfo)
{
	AsideDefinition definition = {
		.kind = text_to_cstring(PG_GETARG_TEXT_PP(0)),
		.id = PG_GETARG_INT64(1),
		.name = text_to_cstring(PG_GETARG_TEXT_PP(2)),
	};

	return definition;
}

/* aside.definition_owner(kind, id, name) returns oid */
Datum
aside_definition_owner_sql(PG_FUNCTION_ARGS)
{
	AsideDefinition definition = definition_argument(fcinfo);
	Oid			owner = aside_definition_owner(&definition);

	if (!OidIsValid(owner))
		PG_RETURN_NULL();
	PG_RETURN_OID(owner);
}

/* aside.definition_proxy(kind, id, name) returns oid */
Datum
aside_definition_proxy_sql(PG_FUNCTION_ARGS)
{
	AsideDefinition definition = definition_argument(fcinfo);
	Oid			owner;
	Oid			proxy = find_proxy(&definition, &owner);

	if (!OidIsValid(proxy))
		PG_RETURN_NULL();
	PG_RETURN_OID(proxy);
}

/* aside.definition_obstacle(owner oid) returns text */
Datum
aside_definition_obstacle_sql(PG_FUNCTION_ARGS)
{
	const char *obstacle = aside_definition_obstacle(PG_GETARG_OID(0));

	if (obstacle == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(obstacle));
}

/* aside.definition_end(kind, id, name) */
Datum
aside_definition_end_sql(PG_FUNCTION_ARGS)
{
	AsideDefinition definition = definition_argument(fcinfo);

	aside_end_definition(&definition);
	PG_RETURN_VOID();
}

/* aside.definition_keep(kind, id, name): restores what pg_upgrade and pg_dump do not keep of the proxy */
Datum
aside_definition_keep_sql(PG_FUNCTION_ARGS)
{
	AsideDefinition definition = definition_argument(fcinfo);
	Oid			owner;
	Oid			proxy = find_proxy(&definition, &owner);

	if (OidIsValid(proxy))
		depend_on_extension(proxy);
	PG_RETURN_VOID();
}

/* May it run now, and as whom? */
void
aside_fill_standing(const AsideDefinition *definition, aside_standing *standing)
{
	standing->owner = aside_definition_owner(definition);
	if (!OidIsValid(standing->owner))
		return;
	standing->superuser = aside_is_superuser(standing->owner);
	standing->state = aside_definition_obstacle(standing->owner) == NULL ? ASIDE_DEFINITION_ACTS : ASIDE_DEFINITION_WAITS;
}
