/*
 * call/origin.h
 *	  The block that says who is behind autonomous work. The caller's process
 *	  writes it (call/origin.c), and the worker reads it (worker/origin.c).
 */
#ifndef ASIDE_ORIGIN_H
#define ASIDE_ORIGIN_H

#include "base/aside.h"

/*
 * There follow the client's address and the server's, and application_name,
 * the client's host and port, and the query, each with its end; that of the
 * query may have been cut off.
 */
typedef struct AsideOrigin
{
	int			pid;			/* of the process that makes the call */
	int			client_pid;		/* of the client's backend at the top; 0: none */
	bool		has_query;
	uint32		remote_length;
	uint32		local_length;
	uint32		query;			/* where it begins */
} AsideOrigin;

/* A larger block is not kept for the next statement. */
#define ASIDE_ORIGIN_KEPT (64 * 1024)

#endif							/* ASIDE_ORIGIN_H */
