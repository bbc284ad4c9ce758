/*
 * events/catalog.c
 *	  The tables of events in this database's catalog: which they are, and
 *	  whose.
 */
#include "definitions/definition.h"
#include "events/events.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

/* Known until something of the catalog changes. */
static Oid	handlers = InvalidOid;	/* the table of handlers */
static Oid	events_owner = InvalidOid;
static Oid	event_type = InvalidOid;
static AsideEventTables tables;
static uint64 changes = 0;
static bool watching = false;

static void
forget_catalog(Datum arg, int cache, uint32 hash)
{
	handlers = InvalidOid;
	events_owner = InvalidOid;
	event_type = InvalidOid;
	tables.sequence = InvalidOid;
	changes++;
}

static void
watch_catalog(void)
{
	if (watching)
		return;
	watching = true;
	CacheRegisterSyscacheCallback(NAMESPACEOID, forget_catalog, (Datum) 0);
	CacheRegisterSyscacheCallback(RELNAMENSP, forget_catalog, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPENAMENSP, forget_catalog, (Datum) 0);
}

static void
refuse_missing_tables(void)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("the tables of pg_aside are missing")));
}

/* To look something up may be to hear that something else has changed: what is found here is kept at the end. */
static void
look_up(void)
{
	Oid			schema = get_namespace_oid("aside", false);
	Oid			table = get_relname_relid("event_handler", schema);
	Oid			owner;
	Oid			type;
	AsideEventTables found;
	HeapTuple	tuple;

	watch_catalog();
	for (int i = 0; i < ASIDE_PARTITIONS; i++)
		found.partitions[i] = get_relname_relid(psprintf("event_%d", i), schema);
	found.unique_keys = get_relname_relid("event_unique", schema);
	found.sequence = get_relname_relid("event_id", schema);
	type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("event"), ObjectIdGetDatum(schema));
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	if (!HeapTupleIsValid(tuple))
		refuse_missing_tables();
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	events_owner = owner;
	event_type = type;
	tables = found;
}

/*
 * Whom to act as: the owner of the tables that are here until the transaction
 * ends.  Whoever makes others of their names once they have been dropped acts
 * as himself.
 */
Oid
aside_events_owner(void)
{
	Oid			owner;

	(void) aside_hold_tables();
	if (!OidIsValid(events_owner))
		look_up();
	owner = events_owner;
	aside_check_one_owner(owner);
	return owner;
}

/* Of the tables that are here until the transaction ends. */
AsideEventTables
aside_event_tables(void)
{
	Oid			owner = aside_events_owner();

	/* To ask whose they are is to hear what has changed. */
	if (!OidIsValid(tables.sequence))
		look_up();
	for (int i = 0; i < ASIDE_PARTITIONS; i++)
		if (!OidIsValid(tables.partitions[i]))
			refuse_missing_tables();
	if (!OidIsValid(tables.sequence) || !OidIsValid(tables.unique_keys))
		refuse_missing_tables();
	tables.owner = owner;
	return tables;
}

Oid
aside_event_type(void)
{
	if (!OidIsValid(event_type))
		look_up();
	return event_type;
}

/* Invalid: there is none.  Whoever emits may have no rights in the schema: hence not by RangeVarGetRelid. */
static Oid
find_handlers(void)
{
	watch_catalog();
	while (!OidIsValid(handlers))
	{
		uint64		before = changes;
		Oid			schema = get_namespace_oid("aside", true);
		Oid			table = OidIsValid(schema) ? get_relname_relid("event_handler", schema) : InvalidOid;

		if (!OidIsValid(table))
			return InvalidOid;
		/* Else the schema may have been another one. */
		if (before == changes)
			handlers = table;
	}
	return handlers;
}

/* The tables of events, by one of them, which stays until the transaction ends; invalid: there are none. */
Oid
aside_hold_tables(void)
{
	Oid			locked = InvalidOid;

	for (;;)
	{
		Oid			table = find_handlers();

		if (table == locked)
			return table;
		if (OidIsValid(locked))
			UnlockRelationOid(locked, AccessShareLock);
		/* What others have committed meanwhile is known after this. */
		if (OidIsValid(table))
			LockRelationOid(table, AccessShareLock);
		locked = table;
	}
}
