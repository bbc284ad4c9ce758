/*
 * events/tables.c
 *	  The partitions take turns: this file begins the next one, empties an old
 *	  one, and carries over what has not ended.
 */
#include "coordinator/coordinator.h"
#include "coordinator/work.h"
#include "events/row.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/tablecmds.h"
#include "executor/spi.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(aside_event_truncate_here);

aside_status
aside_event_rotate(uint32_t to)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		Oid			types[1] = {INT4OID};
		Datum		values[1] = {Int32GetDatum(to)};

		aside_begin_work();
		aside_run_query("UPDATE aside.event_control SET partition = $1", 1, types, values, NULL, SPI_OK_UPDATE);
		aside_end_work();
		aside_set_current_partition(to);
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return status;
}

/* Is there an event that no fetch has seen yet? This holds the lock, and its snapshot was taken after that. */
static bool
has_unseen(uint32 partition, const aside_unseen *unseen)
{
	Oid			types[2] = {XID8OID, XID8ARRAYOID};
	Datum		values[2];

	aside_unseen_transactions(unseen, values);
	aside_run_query(psprintf("SELECT 1 FROM aside.event_%u WHERE txid >= $1 UNION ALL "
					   "SELECT 1 FROM aside.event_%u WHERE txid = ANY ($2)", partition, partition), 2, types, values,
			  NULL, SPI_OK_SELECT);
	return SPI_processed > 0;
}

/* Keep the errors of dead events before the log is emptied, as aside.event_errors shows them. */
static void
keep_errors(uint32 partition)
{
	aside_run_query(psprintf("UPDATE aside.event_dead d SET errors = l.errors FROM (SELECT event, handler, "
					   "jsonb_agg(jsonb_build_object('attempt', attempt, 'at', at, 'sqlstate', sqlstate, 'message', message) "
					   "ORDER BY at) AS errors FROM (SELECT e AS event, handler, kind, attempt, at, sqlstate, message, "
					   "row_number() OVER (PARTITION BY e, handler ORDER BY at DESC) AS back "
					   "FROM aside.event_log_%u, unnest(events) e WHERE kind IN (" ASIDE_SQL_FAILED ", " ASIDE_SQL_DEAD ") AND sqlstate IS NOT NULL) o "
					   "WHERE back <= 100 GROUP BY event, handler HAVING bool_or(kind = " ASIDE_SQL_DEAD ")) l "
					   "WHERE d.errors IS NULL AND d.id = l.event AND d.handler = l.handler", partition),
			  0, NULL, NULL, NULL, SPI_OK_UPDATE);
}

/* That a lock was not to be had is no error. */
static aside_status
unless_locked(aside_status status)
{
	if (status != ASIDE_OK && aside_kept_error() != NULL &&
		aside_kept_error()->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		return ASIDE_OK;
	return status;
}

static Relation
open_to_truncate(Oid table)
{
	Relation	relation = table_open(table, AccessExclusiveLock);

	if (relation->rd_rel->relkind != RELKIND_RELATION)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a table", RelationGetRelationName(relation))));
	CheckTableNotInUse(relation, "TRUNCATE");
	return relation;
}

/*
 * aside.event_truncate(name): does what TRUNCATE does, but logical decoding
 * does not show it, because a subscriber of all tables has events of its own
 * in its tables. It checks no rights, so it serves only tables of the
 * extension.
 */
Datum
aside_event_truncate_here(PG_FUNCTION_ARGS)
{
	const char *name = NameStr(*PG_GETARG_NAME(0));
	Oid			table = get_relname_relid(name, get_namespace_oid("aside", false));
	Relation	relation;

	if (!OidIsValid(table))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("table \"aside.%s\" does not exist", name)));
	relation = open_to_truncate(table);
	aside_truncate_guts(list_make1(relation), list_make1_oid(table));
	table_close(relation, NoLock);
	PG_RETURN_VOID();
}

/* Empty a partition, unless another transaction is using it. */
aside_status
aside_event_truncate(uint32_t partition, const aside_unseen *unseen, bool *done)
{
	aside_status status = ASIDE_OK;

	*done = false;
	ASIDE_TRY(status);
	{
		aside_begin_work();
		(void) set_config_option("lock_timeout", "50ms", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
		aside_run_query(psprintf("LOCK TABLE aside.event_%u, aside.event_log_%u, aside.event_group_%u IN ACCESS EXCLUSIVE MODE", partition, partition, partition),
				  0, NULL, NULL, NULL, SPI_OK_UTILITY);
		if (!has_unseen(partition, unseen))
		{
			/* Free the keys of events that no handler has taken. An event that was carried over keeps its key. */
			aside_run_query(psprintf("DELETE FROM aside.event_unique u USING aside.event_%u e WHERE u.event = e.id "
							   "AND e.command IS DISTINCT FROM 'moved'", partition), 0, NULL, NULL, NULL, SPI_OK_DELETE);
			keep_errors(partition);
			aside_run_query(psprintf("SELECT aside.event_keep_history(%u), aside.event_keep_starts(%u), aside.event_keep_groups(%u)", partition, partition, partition), 0, NULL, NULL, NULL, SPI_OK_SELECT);
			aside_run_query(psprintf("SELECT aside.event_truncate('event_%u'), aside.event_truncate('event_log_%u'), aside.event_truncate('event_group_%u')",
									 partition, partition, partition), 0, NULL, NULL, NULL, SPI_OK_SELECT);
			*done = true;
		}
		aside_end_work();
	}
	ASIDE_END_TRY();
	if (status != ASIDE_OK)
		*done = false;
	aside_drop_work(status);
	return unless_locked(status);
}

/* Of these, the ids of a query's rows. */
static Datum
found_ids(int64_t *ids, size_t *count)
{
	*count = SPI_processed;
	for (size_t i = 0; i < *count; i++)
		ids[i] = aside_number_at(i, 1);
	return aside_event_array(ids, *count);
}

/* What somebody else has locked stays where it is. What was carried over before stays as it is. */
aside_status
aside_event_carry_over(uint32_t partition, const int64_t *events, size_t count, int64_t *carried, size_t *ncarried)
{
	aside_status status = ASIDE_OK;

	*ncarried = 0;
	ASIDE_TRY(status);
	{
		Oid			types[1] = {INT8ARRAYOID};
		int			to = aside_current_partition();
		Datum		all;
		Datum		values[1];

		aside_begin_work();
		all = aside_event_array(events, count);
		aside_run_query(psprintf("SELECT id FROM aside.event_%u WHERE id = ANY ($1) AND command IS DISTINCT FROM 'moved' FOR UPDATE SKIP LOCKED",
								 partition), 1, types, &all, NULL, SPI_OK_SELECT);
		values[0] = found_ids(carried, ncarried);
		aside_run_query(psprintf("INSERT INTO aside.event_log_%d (handler, kind, events, attempt, at, next_at, sqlstate, message, "
						   "detail, hint, context) "
						   "SELECT handler, kind, ARRAY(SELECT unnest(events) INTERSECT SELECT unnest($1)), attempt, at, CASE WHEN lease IS NULL THEN next_at END, "
						   "sqlstate, message, detail, hint, context FROM aside.event_log_%u WHERE events && $1 "
						   "AND kind NOT IN (" ASIDE_SQL_EXTENDED ", " ASIDE_SQL_GIVEN_BACK ", " ASIDE_SQL_OVER ")", to, partition),
				  1, types, values, NULL, SPI_OK_INSERT);
		aside_run_query(psprintf("INSERT INTO aside.event_%d (id, txid" ASIDE_EVENT_CONTENT_NAMES ") "
								 "SELECT id, pg_current_xact_id()" ASIDE_EVENT_CONTENT_NAMES " FROM aside.event_%u WHERE id = ANY ($1) "
								 "AND command IS DISTINCT FROM 'moved'", to, partition),
				  1, types, values, NULL, SPI_OK_INSERT);
		aside_run_query(psprintf("INSERT INTO aside.event_group_%d SELECT g.* FROM aside.event_%u e JOIN aside.event_group_%u g ON g.of_group = e.of_group "
								 "AND g.event = e.id WHERE e.id = ANY ($1) AND e.command IS DISTINCT FROM 'moved' AND e.of_group IS NOT NULL", to, partition, partition),
				  1, types, values, NULL, SPI_OK_INSERT);
		aside_run_query(psprintf("DELETE FROM aside.event_group_%u g USING aside.event_%u e WHERE g.of_group = e.of_group "
								 "AND g.event = e.id AND e.id = ANY ($1) AND e.command IS DISTINCT FROM 'moved'", partition, partition),
				  1, types, values, NULL, SPI_OK_DELETE);
		/* The old copies do not belong to a channel any more. */
		aside_run_query(psprintf("UPDATE aside.event_%u SET channel = '', command = 'moved' WHERE id = ANY ($1) AND command IS DISTINCT FROM 'moved'",
								 partition), 1, types, values, NULL, SPI_OK_UPDATE);
		aside_run_query(psprintf("SELECT DISTINCT id FROM aside.event_%u WHERE id = ANY ($1) AND command = 'moved'", partition), 1, types, &all,
						NULL, SPI_OK_SELECT);
		(void) found_ids(carried, ncarried);
		aside_end_work();
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return status;
}

aside_status
aside_event_compact_keys(void)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		aside_begin_work();
		aside_run_query("SELECT aside.event_unique_compact()", 0, NULL, NULL, NULL, SPI_OK_SELECT);
		aside_end_work();
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return unless_locked(status);
}

uint64_t
aside_event_size(uint32_t partition)
{
	aside_status status = ASIDE_OK;
	uint64		size = 0;
	volatile uint64 *out = &size;

	ASIDE_TRY(status);
	{
		aside_begin_work();
		aside_run_query(psprintf("SELECT sum(pg_relation_size(c.oid) + CASE WHEN c.reltoastrelid = 0 THEN 0 ELSE pg_relation_size(c.reltoastrelid) END)::int8 "
								 "FROM pg_class c WHERE c.oid IN ('aside.event_%u'::regclass, 'aside.event_log_%u'::regclass)",
						   partition, partition), 0, NULL, NULL, NULL, SPI_OK_SELECT);
		*out = aside_number_at(0, 1);
		aside_end_work();
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return size;
}
