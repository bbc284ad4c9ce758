/*
 * events/catalog.c
 *	  Which tables of events this database has, and which role owns them.
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

/* These are known until the catalog changes. */
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

void
aside_refuse_missing_tables(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("the tables of pg_aside are missing"),
			 errhint("Drop extension \"pg_aside\" and create it again.")));
}

/*
 * A look-up may process a message that something else has changed, which
 * forgets what is known. So this keeps all that it has found at its end.
 */
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
		aside_refuse_missing_tables();
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	events_owner = owner;
	event_type = type;
	tables = found;
}

/*
 * The role to act as: the owner of the tables, which stay until the
 * transaction ends. A user who creates other tables of these names, once they
 * have been dropped, acts as that user only.
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

/* The tables stay until the transaction ends. */
AsideEventTables
aside_event_tables(void)
{
	Oid			owner = aside_events_owner();

	/* The look for their owner may have processed a message that they have changed. */
	if (!OidIsValid(tables.sequence))
		look_up();
	for (int i = 0; i < ASIDE_PARTITIONS; i++)
		if (!OidIsValid(tables.partitions[i]))
			aside_refuse_missing_tables();
	if (!OidIsValid(tables.sequence) || !OidIsValid(tables.unique_keys))
		aside_refuse_missing_tables();
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

/* Invalid: there is none. Not by RangeVarGetRelid, because the emitter may have no rights in the schema. */
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

/*
 * Lock one table of events, so that they all stay until the transaction ends.
 * Returns it; invalid: there are none.
 */
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
		/* The lock also makes known what others have committed meanwhile. */
		if (OidIsValid(table))
			LockRelationOid(table, AccessShareLock);
		locked = table;
	}
}
