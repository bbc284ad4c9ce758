/*
 * worker/request.c
 *	  What this worker knows of the request that it runs.
 */
#include "worker/worker.h"

#include "miscadmin.h"

/* Memory of the running request, until it ends. */
MemoryContext aside_request_context = NULL;

/* The command of the running request. */
const char *aside_command = NULL;

/* The running commit is the last of its command. */
bool		aside_last_commit = false;

/* The running command is part of a session. */
bool		aside_in_session = false;

/* This request's transaction is a handler's. */
bool		aside_handler_runs = false;

/* The worker's tenant has used temporary tables. */
bool		aside_temp_touched = false;

/* Who acts in the next transaction. */
aside_identity aside_acting;

/* Is the caller of the running request in another database? */
bool
aside_caller_is_elsewhere(void)
{
	return OidIsValid(aside_acting.database) && aside_acting.database != MyDatabaseId;
}
