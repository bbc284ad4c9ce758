/*
 * coordinator/host.c
 *	  What every part of a coordinator asks of its process.
 */
#include "call/call.h"
#include "coordinator/coordinator.h"
#include "coordinator/work.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "access/xact.h"
#include "commands/extension.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#define CLOSING_PATIENCE "200ms"

static double
host_random(void)
{
	return pg_prng_double(&pg_global_prng_state);
}

static uint32_t
host_error(void)
{
	return aside_kept_error() == NULL ? 0 : aside_kept_error()->sqlerrcode;
}

static aside_tables
host_found(void)
{
	aside_status status = ASIDE_OK;
	volatile aside_tables found = ASIDE_TABLES_OURS;

	AbortOutOfAnyTransaction();
	if (aside_tables_replaced())
		return ASIDE_TABLES_REPLACED;
	ASIDE_TRY(status);
	{
		StartTransactionCommand();
		if (!OidIsValid(get_extension_oid("pg_aside", true)))
			found = ASIDE_TABLES_GONE;
		CommitTransactionCommand();
	}
	ASIDE_END_TRY();
	if (status != ASIDE_OK)
		AbortOutOfAnyTransaction();
	return found;
}

static void
host_log(aside_bytes part, bool works)
{
	ErrorData  *error = aside_kept_error();
	int			length = part.len;
	const char *name = (const char *) part.data;

	if (works)
		ereport(LOG, (errmsg("coordinator of %.*s works again", length, name)));
	else if (error != NULL)
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("coordinator of %.*s failed: %s", length, name, error->message)));
}

static void
host_breathe(uint32_t us)
{
	pg_usleep(us);
}

/* The process that ended the coordinator does not want to wait. */
static void
host_hurry(void)
{
	(void) set_config_option("lock_timeout", CLOSING_PATIENCE, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SET, true, 0, false);
}

/* The allocator keeps freed memory unless it is told to return it. */
static void
host_give_back(void)
{
	if (aside_lent != NULL)
		MemoryContextReset(aside_lent);
#ifdef __GLIBC__
	(void) malloc_trim(0);
#endif
}

const aside_coordinator_host *
aside_get_coordinator_host(void)
{
	static aside_coordinator_host host = {
		.abi_version = ASIDE_ABI_VERSION,
		.random = host_random,
		.error = host_error,
		.hear = aside_receive_notifications,
		.found = host_found,
		.log = host_log,
		.breathe = host_breathe,
		.hurry = host_hurry,
		.give_back = host_give_back,
	};

	host.database = MyDatabaseId;
	host.tables = aside_tables_of_coordinator();
	host.limits = aside_current_limits();
	return &host;
}
