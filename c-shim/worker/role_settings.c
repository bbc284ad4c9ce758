/*
 * worker/role_settings.c
 *	  What ALTER ROLE and ALTER DATABASE set for a login of this process's
 *	  user, and whether that has changed since the process began.
 *
 * The server applies these settings once, when a process connects, and does
 * not record what would hold without them. So a change asks for a new process.
 */
#include "worker/worker.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_db_role_setting.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

static uint64 at_start = 0;

static uint64
fold_settings(Relation relation, Oid database, Oid role, uint64 hash)
{
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], Anum_pg_db_role_setting_setdatabase, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(database));
	ScanKeyInit(&keys[1], Anum_pg_db_role_setting_setrole, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(role));
	scan = systable_beginscan(relation, DbRoleSettingDatidRolidIndexId, true, NULL, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Datum		values[Natts_pg_db_role_setting];
		bool		nulls[Natts_pg_db_role_setting];
		struct varlena *settings;

		heap_deform_tuple(tuple, RelationGetDescr(relation), values, nulls);
		if (nulls[Anum_pg_db_role_setting_setconfig - 1])
			continue;
		settings = PG_DETOAST_DATUM(values[Anum_pg_db_role_setting_setconfig - 1]);
		hash = hash_combine64(hash, database ^ ((uint64) role << 32));
		hash = hash_combine64(hash, hash_bytes_extended((const unsigned char *) VARDATA(settings),
														VARSIZE(settings) - VARHDRSZ, 0));
	}
	systable_endscan(scan);
	return hash;
}

/* Within a transaction. */
static uint64
role_settings(void)
{
	Relation	relation = table_open(DbRoleSettingRelationId, AccessShareLock);
	Oid			user = GetAuthenticatedUserId();
	uint64		hash = 0;

	hash = fold_settings(relation, MyDatabaseId, user, hash);
	hash = fold_settings(relation, InvalidOid, user, hash);
	hash = fold_settings(relation, MyDatabaseId, InvalidOid, hash);
	hash = fold_settings(relation, InvalidOid, InvalidOid, hash);
	table_close(relation, AccessShareLock);
	return hash;
}

/* When this process has connected. */
void
aside_remember_role_settings(void)
{
	StartTransactionCommand();
	at_start = role_settings();
	CommitTransactionCommand();
}

/* Would a process that logs in now get other settings than this one got? */
aside_status
aside_role_settings_changed(bool *changed)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		StartTransactionCommand();
		*changed = role_settings() != at_start;
		CommitTransactionCommand();
	}
	ASIDE_END_TRY();
	return status;
}
