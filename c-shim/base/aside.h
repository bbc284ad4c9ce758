/*
 * base/aside.h
 *	  What every file of the shim needs: the contract with the core, kept
 *	  errors, and the trap. Each room says in a header of its own what it
 *	  offers to the others.
 *
 * The shim calls the server and traps the server's errors. It decides nothing.
 */
#ifndef ASIDE_H
#define ASIDE_H

#include "postgres.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"

#include "aside_abi.h"
#include "base/compat.h"

/* Arguments of a command, ids of a list: as many as a message of the protocol may have. */
#define ASIDE_MOST_VALUES 65535

/* Who acts, and with which restrictions. */
typedef struct AsideUser
{
	Oid			user;
	int			context;
} AsideUser;

/* base/user.c */
extern AsideUser aside_act_as(Oid user);
extern void aside_act_again(AsideUser before);

/* base/report.c */
extern bool aside_relaying;
ASIDE_NORETURN extern void aside_end_without_memory(size_t bytes);
extern void aside_keep_error(MemoryContext back_to);
extern ErrorData *aside_kept_error(void);
extern void aside_keep_report(const aside_report *report);
extern void aside_amend_error(aside_bytes detail);
ASIDE_NORETURN extern void aside_throw_kept(void);
extern void aside_fill_report(const ErrorData *edata, aside_report *out);
extern ErrorData *aside_make_error_data(const aside_report *report);
extern void aside_raise_message(const aside_report *message);

/* A C string in database encoding as bytes; lends it. */
static inline aside_bytes
aside_text_bytes(const char *text)
{
	aside_bytes bytes = {(const uint8_t *) text, strlen(text)};

	return bytes;
}

/*
 * The trap.  Between ASIDE_TRY and ASIDE_END_TRY server functions may throw;
 * the error is then kept, the memory context is as it was, and status says so.
 */
#define ASIDE_TRY(status) \
	do { \
		volatile aside_status *status_ = &(status); \
		MemoryContext context_ = CurrentMemoryContext; \
		PG_TRY(); \
		{

#define ASIDE_END_TRY() \
		} \
		PG_CATCH(); \
		{ \
			aside_keep_error(context_); \
			*status_ = ASIDE_SAVED; \
		} \
		PG_END_TRY(); \
	} while (0)

#endif							/* ASIDE_H */
