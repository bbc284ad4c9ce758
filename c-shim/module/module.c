/*
 * module/module.c
 *	  Loads the module: settings, shared memory and hooks.
 *
 * The postmaster calls this if it preloads the module. Otherwise the first
 * backend that needs the module does, or a worker.
 */
#include "call/call.h"
#include "coordinator/coordinator.h"
#include "worker/worker.h"

#include "miscadmin.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

/* Objects and archive that a build has left from different states of the source do not know each other's structs. */
static void
check_build(void)
{
	if (aside_core_abi_version() != ASIDE_ABI_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("module and core of pg_aside are of different builds"),
				 errdetail("The module has version %u of what is between them, the core version %u.",
						   ASIDE_ABI_VERSION, aside_core_abi_version()),
				 errhint("Build and install pg_aside again, after \"make clean\".")));
}

void
_PG_init(void)
{
	check_build();
	aside_when_out_of_memory(aside_end_without_memory);
	aside_define_settings();
	aside_install_hooks();
	aside_install_log_hook();
	aside_install_parse_hook();
	if (process_shared_preload_libraries_in_progress)
	{
		aside_request_shmem();
		/* The data belongs to the server that the cluster is upgraded to. */
		if (!IsBinaryUpgrade)
			aside_register_launcher();
	}
}
