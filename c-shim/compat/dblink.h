/*
 * compat/dblink.h
 *	  What the files of aside_dblink share.
 */
#ifndef ASIDE_DBLINK_H
#define ASIDE_DBLINK_H

#include "call/call.h"

/*
 * The connection named x is the autonomous session "dblink:x", the unnamed one
 * is "dblink".  What else a first argument says is a connection string, for
 * one command: a session that ends with the call, or, where the current user
 * is a definer, one autonomous transaction.
 */
typedef struct Connection
{
	const char *name;			/* NULL: it has none */
	const char *session;		/* NULL: one transaction */
	bool		transient;
	Oid			database;		/* of one transaction */
	List	   *settings;		/* and its own settings: name, value, name, ... */
} Connection;

/* One command, or the next result of one that was sent. */
typedef struct Command
{
	Connection	on;
	const char *text;			/* NULL: it was sent before */
	const char *doing;			/* for the error's context */
	bool		fail;			/* a remote error is one here too, and not a notice */
	bool		quiet;			/* nor that */
} Command;

/* compat/dblink_link.c */
extern Connection aside_dblink_named(const char *name);
extern Connection aside_dblink_named_or_string(const char *name);
extern void aside_dblink_connect(const char *name, const char *conninfo);
extern void aside_dblink_disconnect(const Connection *on);
extern bool aside_dblink_send(const Connection *on, const char *text);
extern void aside_dblink_notifications(const Connection *on, AsideRows *rows);
extern bool aside_dblink_run(const Command *command, AsideRows *rows, aside_ending *last);
extern text *aside_dblink_value(const Command *command, bool may_have_rows, bool *done);

/* compat/dblink_target.c */
typedef struct Target
{
	Oid			database;
	const char *name;			/* of it */
	List	   *settings;		/* name, value, name, ... */
	const char *setup;			/* a command that does the rest; NULL: none is needed */
} Target;

extern Target aside_dblink_target(const char *conninfo);

/* compat/dblink_error.c */
extern void aside_dblink_undress(ErrorData *edata, char **command, int *position);
extern char *aside_dblink_message(const ErrorData *edata);

#endif							/* ASIDE_DBLINK_H */
