/*
 * definitions/owners.c
 *	  Does one role own all tables, views and functions that work in the name
 *	  of the tables' owner, and all functions of the tables' triggers?
 *
 * A role that owns one of them and is no superuser could put a trigger, a rule
 * or another body there, which would run with the rights of the owner of the
 * others. A role with the TRIGGER privilege could do the same. This file looks
 * again whenever one of them has changed.
 */
#include "definitions/definition.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

/* What the server says about a member that has changed: the OID of a table, the hash value of a function. */
typedef struct Members
{
	uint32	   *marks;
	int			count;
	int			room;
} Members;

static Members tables;
static Members functions;
static bool checked = false;

static bool
is_one_of(const Members *members, uint32 mark)
{
	for (int i = 0; i < members->count; i++)
		if (members->marks[i] == mark)
			return true;
	return mark == 0;
}

static void
table_changed(Datum arg, Oid table)
{
	if (checked && is_one_of(&tables, table))
		checked = false;
}

static void
function_changed(Datum arg, int cache, uint32 hash)
{
	if (checked && is_one_of(&functions, hash))
		checked = false;
}

static void
role_changed(Datum arg, int cache, uint32 hash)
{
	checked = false;
}

static void
add_member(Members *to, uint32 mark)
{
	if (to->count == to->room)
	{
		int			room = Max(32, to->room * 2);

		to->marks = to->marks == NULL ? MemoryContextAlloc(TopMemoryContext, sizeof(uint32) * room) :
			repalloc(to->marks, sizeof(uint32) * room);
		to->room = room;
	}
	to->marks[to->count++] = mark;
}

static void
refuse(Oid owner, Oid other, const char *what)
{
	checked = false;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("tables and functions of pg_aside belong to several roles"),
			 errdetail("%s belongs to role \"%s\", and the table of handlers to role \"%s\".", what,
					   GetUserNameFromId(other, true), GetUserNameFromId(owner, true)),
			 errhint("Have a superuser own what belongs to the extension.")));
}

/* Invalid: there is no such function. */
static Oid
owner_of_function(Oid function, Oid *schema)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	*schema = ((Form_pg_proc) GETSTRUCT(tuple))->pronamespace;
	ReleaseSysCache(tuple);
	return owner;
}

static void
check_function(Oid function, Oid owner, Oid schema)
{
	Oid			in;
	Oid			its = owner_of_function(function, &in);

	if (!OidIsValid(its) || in != schema)
		return;
	add_member(&functions, GetSysCacheHashValue1(PROCOID, ObjectIdGetDatum(function)));
	if (its != owner && !superuser_arg(its))
		refuse(owner, its, psprintf("\"aside.%s\"", get_func_name(function)));
}

/* A trigger's function runs as whoever writes to the table. */
static void
check_triggers(Oid table, Oid owner)
{
	ScanKeyData key;
	Relation	triggers = table_open(TriggerRelationId, AccessShareLock);
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(table));
	scan = systable_beginscan(triggers, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);
		Oid			schema;
		Oid			its = form->tgisinternal ? InvalidOid : owner_of_function(form->tgfoid, &schema);

		if (!OidIsValid(its))
			continue;
		add_member(&functions, GetSysCacheHashValue1(PROCOID, ObjectIdGetDatum(form->tgfoid)));
		if (its != owner && !superuser_arg(its))
			refuse(owner, its, psprintf("Function \"%s\" of trigger \"%s\" of \"aside.%s\"", get_func_name(form->tgfoid),
										NameStr(form->tgname), get_rel_name(table)));
	}
	systable_endscan(scan);
	table_close(triggers, AccessShareLock);
}

static void
check_table(Oid table, Oid owner)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	Oid			its;
	char		kind;

	if (!HeapTupleIsValid(tuple))
		return;
	its = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	kind = ((Form_pg_class) GETSTRUCT(tuple))->relkind;
	ReleaseSysCache(tuple);
	if (kind != RELKIND_RELATION && kind != RELKIND_SEQUENCE && kind != RELKIND_VIEW)
		return;
	add_member(&tables, table);
	if (its != owner && !superuser_arg(its))
		refuse(owner, its, psprintf("\"aside.%s\"", get_rel_name(table)));
	check_triggers(table, owner);
}

/* Look at the members of the extension. Raises an error unless this role or other superusers own them. */
void
aside_check_one_owner(Oid owner)
{
	static bool watching = false;
	Oid			extension;
	Oid			schema;
	ScanKeyData keys[2];
	Relation	depend;
	SysScanDesc scan;
	HeapTuple	tuple;

	/* A trigger may have come since this transaction began. */
	AcceptInvalidationMessages();
	if (likely(checked))
		return;
	if (!watching)
	{
		CacheRegisterRelcacheCallback(table_changed, (Datum) 0);
		CacheRegisterSyscacheCallback(PROCOID, function_changed, (Datum) 0);
		CacheRegisterSyscacheCallback(AUTHOID, role_changed, (Datum) 0);
		watching = true;
	}
	/* The next look covers what changes meanwhile. */
	checked = true;
	tables.count = functions.count = 0;
	extension = get_extension_oid("pg_aside", true);
	schema = get_namespace_oid("aside", true);
	if (!OidIsValid(extension))
		return;
	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(ExtensionRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(extension));
	depend = table_open(DependRelationId, AccessShareLock);
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, lengthof(keys), keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		if (form->deptype != DEPENDENCY_EXTENSION)
			continue;
		if (form->classid == RelationRelationId)
			check_table(form->objid, owner);
		else if (form->classid == ProcedureRelationId)
			check_function(form->objid, owner, schema);
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
}
