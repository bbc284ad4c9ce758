/*
 * listener.c
 *	  The peer of a NOTIFY handler: a client that listens and, for each
 *	  notification, runs a statement with the payload as its parameter.
 *
 * Built by bench/run without libpq's headers, which need not be installed.
 * Usage: listener conninfo channel statement
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct pg_conn PGconn;
typedef struct pg_result PGresult;
typedef struct pgNotify
{
	char	   *relname;
	int			be_pid;
	char	   *extra;
	struct pgNotify *next;
} PGnotify;

extern PGconn *PQconnectdb(const char *conninfo);
extern int	PQstatus(const PGconn *conn);
extern int	PQsocket(const PGconn *conn);
extern int	PQconsumeInput(PGconn *conn);
extern PGnotify *PQnotifies(PGconn *conn);
extern void PQfreemem(void *ptr);
extern PGresult *PQexec(PGconn *conn, const char *query);
extern PGresult *PQexecParams(PGconn *conn, const char *command, int nParams, const unsigned int *paramTypes,
							  const char *const *paramValues, const int *paramLengths, const int *paramFormats,
							  int resultFormat);
extern void PQclear(PGresult *res);

int
main(int argc, char **argv)
{
	PGconn	   *conn = argc == 4 ? PQconnectdb(argv[1]) : NULL;
	char		listen[200];

	if (conn == NULL || PQstatus(conn) != 0)
		return 1;
	snprintf(listen, sizeof(listen), "LISTEN %s", argv[2]);
	PQclear(PQexec(conn, listen));
	for (;;)
	{
		struct pollfd socket = {.fd = PQsocket(conn), .events = POLLIN};
		PGnotify   *note;

		while ((note = PQnotifies(conn)) != NULL)
		{
			const char *values[1] = {note->extra};

			PQclear(PQexecParams(conn, argv[3], 1, NULL, values, NULL, NULL, 0));
			PQfreemem(note);
		}
		if (poll(&socket, 1, -1) < 0 || !PQconsumeInput(conn))
			return 0;
	}
}
