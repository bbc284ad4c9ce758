/*
 * module/module.c
 *	  Loading of the module: settings, shared memory and hooks.
 *
 * Called by the postmaster when the module is preloaded, else by the first
 * backend that needs it, or by a worker.
 */
#include "call/call.h"
#include "coordinator/coordinator.h"
#include "worker/worker.h"

#include "miscadmin.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	aside_when_out_of_memory(aside_end_without_memory);
	aside_define_settings();
	aside_install_hooks();
	aside_install_log_hook();
	aside_install_parse_hook();
	if (process_shared_preload_libraries_in_progress)
	{
		aside_request_shmem();
		/* What is there belongs to the server that it is upgraded to. */
		if (!IsBinaryUpgrade)
			aside_register_launcher();
	}
}
