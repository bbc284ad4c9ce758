/*
 * call/call.h
 *	  The caller's side of autonomous work: arguments and requests go out,
 *	  rows and errors come in. Also what both sides know of values, settings
 *	  and waits.
 */
#ifndef ASIDE_CALL_H
#define ASIDE_CALL_H

#include "module/module.h"

#include "executor/tuptable.h"
#include "utils/tuplestore.h"

/* Where the rows of the running call go: to a store, or the last one to single. */
typedef struct AsideRows
{
	Tuplestorestate *store;
	TupleTableSlot *slot;
	MinimalTuple single;		/* in the context current at the call */
	TupleDesc	described;		/* of the rows in the store, if the worker says; in the query's context */
	uint32	   *styles;			/* of those, not 0: came as text, under these styles (call/styles.c) */
	MemoryContext context;		/* where both are */
	List	   *tags;			/* of statements without rows, in that context */
	bool		fresh;			/* nothing was described since the last statement */
	bool		peek;			/* only the tags are kept, of all statements; rows and messages are not */
} AsideRows;

/* Arguments of a call as they are shipped. */
typedef struct AsideArguments
{
	aside_arg  *args;
	Datum	   *values;			/* what by-value arguments point to */
	int			count;
} AsideArguments;

/* What one call asks for; the rest of an aside_call is the session's. */
typedef struct AsideRequest
{
	aside_kind	kind;
	aside_output output;
	aside_bytes command;
	const AsideArguments *arguments;	/* NULL: none */
	const aside_column *columns;
	int			ncolumns;
	aside_bytes routine;		/* AsideRoutine and what follows it; NULL: run the command */
} AsideRequest;

/* call/arguments.c */
extern void aside_allocate_arguments(AsideArguments *to, int count);
extern void aside_fill_argument(AsideArguments *to, int i, Oid type, int16 len, bool by_value,
								Datum value, bool null);
extern void aside_collect_arguments(AsideArguments *to, FunctionCallInfo fcinfo, int first, bool elsewhere);
extern aside_bytes aside_text_argument(FunctionCallInfo fcinfo, int at);
extern int64 aside_patience(FunctionCallInfo fcinfo, int at);
extern Datum aside_argument_datum(const aside_arg *arg, Oid type);

/* call/request.c */
extern aside_limits aside_current_limits(void);
extern void aside_fill_call(const AsideRequest *request, aside_call *call);
extern void aside_plain_call(aside_kind kind, const char *what, aside_call *call);
extern uint64 aside_run_request(const AsideRequest *request);
extern void aside_finish(aside_status status);
extern void aside_refuse_if_restricted(const char *what);

/* call/rows.c */
extern AsideRows *aside_rows;
extern void aside_require_set_context(FunctionCallInfo fcinfo);
extern TupleDesc aside_wanted_columns(FunctionCallInfo fcinfo);
extern aside_column *aside_expected_columns(TupleDesc desc, bool elsewhere);
extern void aside_start_store(AsideRows *rows, MemoryContext context, bool random);
extern void aside_start_rows(FunctionCallInfo fcinfo, AsideRows *rows);
extern Datum aside_return_rows(FunctionCallInfo fcinfo, AsideRows *rows, TupleDesc desc);
extern TupleDesc aside_keep_columns(AsideRows *rows, TupleDesc desc);
extern void aside_expect_rows(AsideRows *rows, const aside_column *columns, TupleDesc wanted);
extern aside_status aside_host_row(aside_bytes tuple);
extern aside_status aside_host_texts(aside_bytes tuple, size_t columns, aside_bytes *out);
extern aside_status aside_host_describe(const aside_column *columns, size_t count);
extern aside_status aside_host_complete(const aside_ending *ending);

/* call/convert.c */
extern Datum aside_convert_rows(FunctionCallInfo fcinfo, AsideRows *rows, TupleDesc wanted);

/* call/pool.c */
extern AsidePool *aside_caller_pool(bool create);

/* call/host.c */
extern const aside_caller_host *aside_get_caller_host(void);

/* call/session.c */
extern void aside_open_session(aside_bytes session, Oid database);
extern void aside_discard_sessions(void);

/* call/target.c: message is NULL if nothing is refused; detail and hint may be NULL */
typedef struct AsideRefusal
{
	int			sqlstate;
	const char *message;
	const char *detail;
	const char *hint;
} AsideRefusal;

extern AsideRefusal aside_refuse_target(Oid database, const char *name, Oid user, const char *what);
extern void aside_check_reach(Oid database, const char *name, Oid user, const char *what);
extern void aside_check_target(Oid database, const char *name);

/* call/world.c */
extern void aside_fill_world(aside_world *world);

/* call/waits.c */
extern uint64_t aside_host_lock_wait(uint32_t pid);
extern aside_status aside_host_blockers(uint32_t pid, const aside_blocker **blockers, size_t *count);
extern bool aside_host_pin_wait(uint32_t pid);
extern size_t aside_host_group(uint32_t pid, uint32_t *members, size_t max);
extern size_t aside_host_pins_wanted(uint32_t *waiters, size_t max);

/* call/origin.c */
extern int	aside_client_pid;
extern void aside_origin_current(aside_bytes *block, uint64_t *version);
extern void aside_origin_of_task(aside_bytes *block, uint64_t *version);
extern aside_bytes aside_stack_current(void);

/* call/settings.c */
extern void aside_settings_current(aside_bytes *block, uint64_t *version);

/* call/signature.c */
extern uint64 aside_settings_version(void);

/* call/snapshot.c */
extern aside_bytes aside_own_snapshot(void);
extern void aside_read_at(aside_bytes snapshot);

/* call/styles.c */
extern bool aside_crosses_as_text(Oid type, bool elsewhere);
extern bool aside_names_objects(Oid type);
extern uint32 aside_fixed_styles(void);
extern uint32 aside_own_styles(void);
extern int	aside_enter_styles(uint32 styles, bool names);
extern void aside_leave_styles(int nest);

/* call/type_layout.c */
extern void aside_forget_layouts(MemoryContext context);
extern bool aside_sees_type_alone(Oid type);
extern void aside_check_type_visible(Oid type, const char *what, const char *name);

/* call/foreign_text.c */
extern bool aside_same_encoding(Oid database);
extern void aside_refuse_encoding(Oid database, const char *message, const char *hint);
extern aside_bytes aside_shown_bytes(aside_bytes text, Oid database);
extern Datum aside_shown_text(aside_bytes text, Oid database);

/* call/parse_hook.c */
extern void aside_install_parse_hook(void);

#endif							/* ASIDE_CALL_H */
