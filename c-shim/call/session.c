/*
 * call/session.c
 *	  Autonomous sessions as other files open and close them.
 */
#include "call/call.h"

#include "miscadmin.h"

void
aside_open_session(aside_bytes session, Oid database)
{
	aside_call	call;

	aside_plain_call(ASIDE_KIND_SESSION, "open autonomous session", &call);
	call.database = database;
	aside_finish(aside_session_open(aside_caller_pool(true)->handle, aside_get_caller_host(), &call, session));
}

/* DISCARD ALL: what a pooler hands on to its next client is not to hold the last one's sessions. */
void
aside_discard_sessions(void)
{
	AsidePool  *pool = aside_caller_pool(false);
	aside_call	call;

	if (pool == NULL)
		return;
	aside_plain_call(ASIDE_KIND_SESSION, "close autonomous session", &call);
	aside_finish(aside_sessions_close(pool->handle, aside_get_caller_host(), &call));
}
