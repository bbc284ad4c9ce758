/*
 * owners.c
 *	  Does one role own all tables and functions that are used in the name of
 *	  the tables' owner?
 *
 * Who owns one of them, and is no superuser, may have put a trigger on it or
 * another body into it, which would run with the rights of the others' owner.
 * Looked at when one of them has changed.
 */
#include "definition.h"

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
#include "commands/extension.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

/* Hash values by which the server tells that a member has changed. */
typedef struct Members
{
	uint32	   *hashes;
	int			count;
	int			room;
} Members;

static Members tables;
static Members functions;
static bool checked = false;

static bool
is_one_of(const Members *members, uint32 hash)
{
	for (int i = 0; i < members->count; i++)
		if (members->hashes[i] == hash)
			return true;
	return hash == 0;
}

static void
member_changed(Datum which, int cache, uint32 hash)
{
	if (checked && is_one_of((const Members *) DatumGetPointer(which), hash))
		checked = false;
}

static void
role_changed(Datum arg, int cache, uint32 hash)
{
	checked = false;
}

static void
add_member(Members *to, uint32 hash)
{
	if (to->count == to->room)
	{
		int			room = Max(32, to->room * 2);

		to->hashes = to->hashes == NULL ? MemoryContextAlloc(TopMemoryContext, sizeof(uint32) * room) :
			repalloc(to->hashes, sizeof(uint32) * room);
		to->room = room;
	}
	to->hashes[to->count++] = hash;
}

static void
refuse(Oid owner, Oid other, const char *name)
{
	checked = false;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("tables and functions of pg_aside belong to several roles"),
			 errdetail("\"aside.%s\" belongs to role \"%s\", and the table of handlers to role \"%s\".", name,
					   GetUserNameFromId(other, true), GetUserNameFromId(owner, true)),
			 errhint("A superuser is to own what belongs to the extension.")));
}

static void
check_table(Oid table, Oid owner)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	Form_pg_class form;

	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_class) GETSTRUCT(tuple);
	if (form->relkind == RELKIND_RELATION || form->relkind == RELKIND_SEQUENCE)
	{
		add_member(&tables, GetSysCacheHashValue1(RELOID, ObjectIdGetDatum(table)));
		if (form->relowner != owner && !superuser_arg(form->relowner))
			refuse(owner, form->relowner, pstrdup(NameStr(form->relname)));
	}
	ReleaseSysCache(tuple);
}

static void
check_function(Oid function, Oid owner, Oid schema)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc form;

	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_proc) GETSTRUCT(tuple);
	if (form->pronamespace == schema)
	{
		add_member(&functions, GetSysCacheHashValue1(PROCOID, ObjectIdGetDatum(function)));
		if (form->proowner != owner && !superuser_arg(form->proowner))
			refuse(owner, form->proowner, pstrdup(NameStr(form->proname)));
	}
	ReleaseSysCache(tuple);
}

/* Of the members of the extension; an error if this role does not own them, or other superusers. */
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

	if (likely(checked))
		return;
	if (!watching)
	{
		CacheRegisterSyscacheCallback(RELOID, member_changed, PointerGetDatum(&tables));
		CacheRegisterSyscacheCallback(PROCOID, member_changed, PointerGetDatum(&functions));
		CacheRegisterSyscacheCallback(AUTHOID, role_changed, (Datum) 0);
		watching = true;
	}
	/* What changes meanwhile is looked at the next time. */
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
