/*
 * call/session.c
 *	  Opens and closes autonomous sessions for other files.
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

/* DISCARD ALL: a pooler's next client must not get the sessions of the last one. */
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
