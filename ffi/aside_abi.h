/*
 * aside_abi.h
 *	  The contract between the C shim and the Rust library of pg_aside.
 *
 * Read by both sides: the shim includes it, build.rs generates the Rust
 * declarations from it.  It includes no server header, so that
 * abi_check.c can prove its layout without a server.
 *
 * Rules.  Status first, data after: outputs are written only when
 * ASIDE_OK is returned.  Strings are pointer and length, in the encoding of
 * the database; a null pointer is SQL's NULL.  Whoever allocates frees; what
 * a call receives is valid during that call only.  Numbers of enum members
 * are never reused.  Nothing throws across this boundary: a host member that
 * met an error keeps it on its side and returns ASIDE_SAVED, an export that
 * panicked returns ASIDE_PANIC.
 */
#ifndef ASIDE_ABI_H
#define ASIDE_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* First member of each table of functions and of each shared segment, and compared wherever one is handed over. */
#define ASIDE_ABI_VERSION 4

/* What a call across the boundary came to. */
typedef enum aside_status
{
	ASIDE_OK = 0,
	ASIDE_SAVED = 1,			/* the host keeps an error: throw or report it */
	ASIDE_TIMEOUT = 2,			/* the time given has passed */
	ASIDE_NO_WORKER_SLOT = 3,	/* max_worker_processes is exhausted */
	ASIDE_GONE = 4,				/* the other side of a lease has gone away */
	ASIDE_LEAVE = 5,			/* the worker is to leave its main loop */
	ASIDE_PANIC = 6,			/* a bug: the export caught a panic */
	ASIDE_TOO_LONG = 7,			/* the result of a task is longer than it may be */
	ASIDE_NO_MEMORY = 8,		/* out of memory */
	ASIDE_TOO_MUCH = 9,			/* the results of a role's tasks are longer than they may be together */
	ASIDE_OTHER_BUILD = 10,		/* a table of functions was filled by another build: none of them was called */
} aside_status;

typedef struct aside_bytes
{
	const uint8_t *data;		/* NULL: absent */
	size_t		len;
} aside_bytes;

/*
 * SQLSTATEs that the core raises: its name, the server's name, the code.
 * Packed as the server's MAKE_SQLSTATE packs them; constants.rs compares them
 * with the core's, base/constants.c with the server's.
 */
#define ASIDE_SQLSTATES(X) \
	X(NULL_VALUE_NOT_ALLOWED, NULL_VALUE_NOT_ALLOWED, '2', '2', '0', '0', '4') \
	X(FEATURE_NOT_SUPPORTED, FEATURE_NOT_SUPPORTED, '0', 'A', '0', '0', '0') \
	X(CONNECTION_DOES_NOT_EXIST, CONNECTION_DOES_NOT_EXIST, '0', '8', '0', '0', '3') \
	X(OBJECT_NOT_IN_PREREQUISITE_STATE, OBJECT_NOT_IN_PREREQUISITE_STATE, '5', '5', '0', '0', '0') \
	X(DUPLICATE_OBJECT, DUPLICATE_OBJECT, '4', '2', '7', '1', '0') \
	X(UNDEFINED_OBJECT, UNDEFINED_OBJECT, '4', '2', '7', '0', '4') \
	X(FAILED_TRANSACTION, IN_FAILED_SQL_TRANSACTION, '2', '5', 'P', '0', '2') \
	X(CONNECTION_FAILURE, CONNECTION_FAILURE, '0', '8', '0', '0', '6') \
	X(DEADLOCK_DETECTED, T_R_DEADLOCK_DETECTED, '4', '0', 'P', '0', '1') \
	X(INSUFFICIENT_PRIVILEGE, INSUFFICIENT_PRIVILEGE, '4', '2', '5', '0', '1') \
	X(SYNTAX_ERROR, SYNTAX_ERROR, '4', '2', '6', '0', '1') \
	X(UNDEFINED_PARAMETER, UNDEFINED_PARAMETER, '4', '2', 'P', '0', '2') \
	X(ADMIN_SHUTDOWN, ADMIN_SHUTDOWN, '5', '7', 'P', '0', '1') \
	X(CANNOT_CONNECT_NOW, CANNOT_CONNECT_NOW, '5', '7', 'P', '0', '3') \
	X(OUT_OF_MEMORY, OUT_OF_MEMORY, '5', '3', '2', '0', '0') \
	X(CONFIGURATION_LIMIT_EXCEEDED, CONFIGURATION_LIMIT_EXCEEDED, '5', '3', '4', '0', '0') \
	X(STATEMENT_TOO_COMPLEX, STATEMENT_TOO_COMPLEX, '5', '4', '0', '0', '1') \
	X(QUERY_CANCELED, QUERY_CANCELED, '5', '7', '0', '1', '4') \
	X(PROTOCOL_VIOLATION, PROTOCOL_VIOLATION, '0', '8', 'P', '0', '1') \
	X(INTERNAL_ERROR, INTERNAL_ERROR, 'X', 'X', '0', '0', '0') \
	X(RAISE_EXCEPTION, RAISE_EXCEPTION, 'P', '0', '0', '0', '1')

#define ASIDE_PACKED(a, b, c, d, e) \
	((((a) - '0') & 0x3F) | ((((b) - '0') & 0x3F) << 6) | ((((c) - '0') & 0x3F) << 12) | (((d) - '0') & 0x3F) << 18 | \
	 (((e) - '0') & 0x3F) << 24)
#define ASIDE_PACK_SQLSTATE(name, server, a, b, c, d, e) ASIDE_SQLSTATE_##name = ASIDE_PACKED(a, b, c, d, e),
#define ASIDE_COUNT_SQLSTATE(name, server, a, b, c, d, e) +1

typedef enum aside_sqlstate
{
	ASIDE_SQLSTATES(ASIDE_PACK_SQLSTATE)
} aside_sqlstate;

/* One that the server does not know: a handler gives up an event. */
typedef enum aside_own_sqlstate
{
	ASIDE_SQLSTATE_EVENT_DISCARDED = ASIDE_PACKED('P', 'A', '0', '0', '1'),
} aside_own_sqlstate;

enum aside_sqlstate_count
{
	ASIDE_SQLSTATE_COUNT = 0 ASIDE_SQLSTATES(ASIDE_COUNT_SQLSTATE)
};

/*
 * States, with the names under which views show them: the only place where
 * they are named. rust-core has them with the same numbers; constants.rs
 * compares all of them.
 */
#define ASIDE_SLOT_STATES(X) \
	X(ASIDE_SLOT_FREE, 0, "free") \
	X(ASIDE_SLOT_STARTING, 1, "starting") \
	X(ASIDE_SLOT_IDLE, 2, "idle") \
	X(ASIDE_SLOT_BUSY, 3, "busy") \
	X(ASIDE_SLOT_RETIRING, 4, "leaving") \
	X(ASIDE_SLOT_DEAD, 5, "dead") \
	X(ASIDE_SLOT_HELD, 6, "session") \
	X(ASIDE_SLOT_TASKED, 7, "task")

#define ASIDE_TASK_STATES(X) \
	X(ASIDE_TASK_FREE, 0, "free") \
	X(ASIDE_TASK_FILLING, 1, "new") \
	X(ASIDE_TASK_PENDING, 2, "pending") \
	X(ASIDE_TASK_QUEUED, 3, "queued") \
	X(ASIDE_TASK_RUNNING, 4, "running") \
	X(ASIDE_TASK_ENDING, 5, "ending") \
	X(ASIDE_TASK_DONE, 6, "done") \
	X(ASIDE_TASK_FAILED, 7, "failed") \
	X(ASIDE_TASK_CANCELLED, 8, "cancelled") \
	X(ASIDE_TASK_LOST, 9, "lost")

/* Of a coordinator's place in the registry. */
#define ASIDE_ENTRY_STATES(X) \
	X(ASIDE_ENTRY_FREE, 0, "free") \
	X(ASIDE_ENTRY_STARTING, 1, "starting") \
	X(ASIDE_ENTRY_LOOKING, 2, "starting") \
	X(ASIDE_ENTRY_RUNNING, 3, "running") \
	X(ASIDE_ENTRY_ABSENT, 4, "no extension") \
	X(ASIDE_ENTRY_FAILED, 5, "failed") \
	X(ASIDE_ENTRY_IDLE, 6, "idle") \
	X(ASIDE_ENTRY_FAILING, 7, "failing")	/* runs, but its turns fail: of a view alone */

/* Entry points, as aside.stat lists them. */
#define ASIDE_KINDS_OF_CALL(X) \
	X(ASIDE_KIND_EXEC, 0, "exec") \
	X(ASIDE_KIND_QUERY, 1, "query") \
	X(ASIDE_KIND_QUERY_AS, 2, "query_as") \
	X(ASIDE_KIND_JSON, 3, "json") \
	X(ASIDE_KIND_ROUTINE, 4, "routine")	/* of LANGUAGE plpgsql_autonomous */ \
	X(ASIDE_KIND_SESSION, 5, "session") \
	X(ASIDE_KIND_TASK, 6, "task")

#define ASIDE_MEMBER(member, number, name) member = number,
#define ASIDE_NAMED(member, number, name) [number] = name,
#define ASIDE_COUNTED(member, number, name) +1

typedef enum aside_slot_state
{
	ASIDE_SLOT_STATES(ASIDE_MEMBER)
} aside_slot_state;

typedef enum aside_task_state
{
	ASIDE_TASK_STATES(ASIDE_MEMBER)
} aside_task_state;

typedef enum aside_entry_state
{
	ASIDE_ENTRY_STATES(ASIDE_MEMBER)
} aside_entry_state;

typedef enum aside_kind
{
	ASIDE_KINDS_OF_CALL(ASIDE_MEMBER)
} aside_kind;

/* How many there are of each. */
enum aside_counts
{
	ASIDE_SLOT_STATE_COUNT = 0 ASIDE_SLOT_STATES(ASIDE_COUNTED),
	ASIDE_TASK_STATE_COUNT = 0 ASIDE_TASK_STATES(ASIDE_COUNTED),
	ASIDE_ENTRY_STATE_COUNT = 0 ASIDE_ENTRY_STATES(ASIDE_COUNTED),
	ASIDE_KINDS = 0 ASIDE_KINDS_OF_CALL(ASIDE_COUNTED),
};

/* Severities of aside_report, in the order of the server's. */
typedef enum aside_severity
{
	ASIDE_DEBUG = 0,
	ASIDE_LOG = 1,
	ASIDE_INFO = 2,
	ASIDE_NOTICE = 3,
	ASIDE_WARNING = 4,
	ASIDE_ERROR = 5,
	ASIDE_FATAL = 6,
} aside_severity;

/* An error or message with every field that the server's protocol knows. */
typedef struct aside_report
{
	uint32_t	severity;		/* aside_severity */
	uint32_t	sqlstate;		/* as the server packs it */
	int32_t		position;		/* in the command, from 1; 0 is none */
	int32_t		internal_position;
	int32_t		line;			/* of the source file; 0 is none */
	uint32_t	reserved;
	aside_bytes message;
	aside_bytes detail;
	aside_bytes hint;
	aside_bytes context;
	aside_bytes schema_name;
	aside_bytes table_name;
	aside_bytes column_name;
	aside_bytes datatype_name;
	aside_bytes constraint_name;
	aside_bytes internal_query;
	aside_bytes file;
	aside_bytes function;
} aside_report;

/* How the data of an argument is to be read. */
typedef enum aside_arg_form
{
	ASIDE_ARG_NULL = 0,
	ASIDE_ARG_BYVAL = 1,		/* data is the 8 bytes of a Datum */
	ASIDE_ARG_BYREF = 2,		/* data is what a Datum would point to */
	ASIDE_ARG_TEXT = 3,			/* input text of a literal of unknown type */
} aside_arg_form;

/* One argument of a command; type 0 where the statement is to infer it. */
typedef struct aside_arg
{
	uint32_t	type;
	uint32_t	form;			/* aside_arg_form */
	aside_bytes data;
} aside_arg;

/* One column that the caller expects; type 0 stands for a dropped column. */
typedef struct aside_column
{
	uint32_t	type;
	int32_t		typmod;
	uint32_t	by_text;		/* not 0: crosses as text, under these styles (call/styles.c) */
	uint32_t	reserved;
	aside_bytes name;
} aside_column;

/* Of the bits of a security context: a query of a referential action. */
#define ASIDE_REFERENTIAL_ACTION 4

/* Who the caller is, as role OIDs; role 0 is "none". */
typedef struct aside_identity
{
	uint32_t	session_user;
	uint32_t	role;
	uint32_t	current_user;
	uint32_t	security_context;	/* the server's bits */
	uint32_t	database;		/* the caller's, which a session need not be in */
	uint32_t	reserved;
} aside_identity;

/* What becomes of the rows of a command's last statement. */
typedef enum aside_output
{
	ASIDE_OUTPUT_NONE = 0,		/* counted, not kept */
	ASIDE_OUTPUT_ROWS = 1,		/* converted to the expected columns */
	ASIDE_OUTPUT_JSON = 2,		/* one jsonb object a row */
	ASIDE_OUTPUT_DESCRIBED = 3,	/* as they are, of every statement, after a description */
	ASIDE_OUTPUT_TEXT = 4,		/* the same, as the text that a client would see; of a session, of every statement */
} aside_output;

/* Of a histogram. */
#define ASIDE_BUCKETS 24

/* How many workers, and how long they are waited for; 0: no limit. */
typedef struct aside_limits
{
	uint32_t	max_per_role;
	uint32_t	max_per_session;
	uint32_t	min_workers;
	uint32_t	checkout_timeout_ms;
	uint32_t	deadlock_timeout_ms;
} aside_limits;

/* One call, as the SQL function hands it over. */
typedef struct aside_call
{
	uint32_t	kind;			/* aside_kind */
	uint32_t	output;			/* aside_output */
	uint32_t	database;
	uint32_t	authenticated_user;
	uint32_t	restricted;		/* in a security-restricted operation? */
	uint32_t	held_off;		/* do interrupts wait for what the caller is in the midst of? */
	uint32_t	depth;			/* autonomous transactions above this process */
	uint32_t	max_depth;
	uint32_t	poll_us;
	uint32_t	nap_ms;
	uint32_t	authenticated_superuser;	/* is it a superuser? always 0 from PostgreSQL 17 on */
	uint32_t	reserved;
	aside_limits limits;
	aside_identity identity;
	aside_bytes command;		/* NULL raises 22004 */
	aside_bytes settings;		/* what this session changed; see call/settings.c */
	uint64_t	settings_version;	/* changes with settings */
	const aside_arg *args;
	size_t		nargs;
	const aside_column *columns;
	size_t		ncolumns;
	aside_bytes routine;		/* not NULL: run this instead of the command; see language/routine.h */
	aside_bytes origin;			/* what the worker is to know of this caller; see call/origin.c */
	uint64_t	origin_version; /* names it, whoever the caller is; not 0 */
	uint64_t	xid;			/* of the caller's transaction; 0: none */
	aside_bytes stack;			/* where in its code the call is made; NULL: not told */
	aside_bytes snapshot;		/* at which the command reads, and writes nothing; see call/snapshot.c; NULL: its own */
} aside_call;

/* A query over the chunks of a table. */
typedef struct aside_parallel
{
	const aside_bytes *split;	/* what aside.parallel_target() has written */
	size_t		nsplit;
	const aside_column *answer; /* columns of texts: those of a step */
	size_t		nanswer;
	uint64_t	chunk_rows;		/* 0: as many as suit the table */
	uint64_t	rows;			/* of the table, about */
	uint32_t	workers;
	uint32_t	nbounds;
	uint32_t	bounds[2];		/* their types */
} aside_parallel;

/* A row of aside.workers. Times are microseconds since 2000-01-01. */
typedef struct aside_worker_row
{
	uint32_t	state;			/* aside_slot_state; of a free one there is no row */
	uint32_t	pid;
	uint32_t	database;
	uint32_t	user;
	uint32_t	caller_pid;
	uint32_t	depth;
	uint64_t	generation;
	uint64_t	xid;			/* 0: none */
	uint64_t	calls;
	uint64_t	errors;
	int64_t		started;
	int64_t		last_used;
} aside_worker_row;

/* How a command of a session ended. */
typedef struct aside_ending
{
	uint64_t	processed;
	uint32_t	found;			/* a result set, or the end of a statement, was there to be read */
	uint32_t	rows;			/* it has rows, described before */
	uint32_t	tag_len;
	char		tag[68];
} aside_ending;

/* A row of autonomous_sessions(). The name is lent until the next export of a session is called. */
typedef struct aside_session_row
{
	aside_bytes name;
	uint32_t	database;
	uint32_t	pid;			/* 0: has gone */
	uint32_t	busy;
	uint32_t	alive;
	int64_t		opened;
} aside_session_row;

/* How a task is to be started. */
typedef struct aside_task_start
{
	aside_bytes label;
	aside_bytes shown;			/* the command's beginning, clipped to whole characters */
	uint32_t	timeout_ms;		/* 0: none */
	uint32_t	on_commit;		/* only if the running transaction commits */
	uint32_t	subtransaction; /* of which it is a part */
	uint32_t	quota;			/* tasks that its role may have; 0: no limit */
	int64_t		after;			/* in the process that ran this task; 0: in any */
} aside_task_start;

/* How a transaction ends. */
typedef enum aside_transaction_end
{
	ASIDE_END_COMMIT = 0,
	ASIDE_END_ABORT = 1,
	ASIDE_END_SUBCOMMIT = 2,
	ASIDE_END_SUBABORT = 3,
} aside_transaction_end;

/* A row of aside.tasks. Its texts are lent until the next one is asked for. */
typedef struct aside_task_row
{
	int64_t		id;
	uint32_t	state;			/* aside_task_state */
	uint32_t	owner;
	uint32_t	database;
	uint32_t	pid;			/* 0: does not run */
	uint32_t	submitter;
	uint32_t	sqlstate;
	uint32_t	has_progress;
	uint32_t	detached;
	int64_t		submitted;
	int64_t		started;		/* 0: not yet */
	int64_t		finished;		/* 0: not yet */
	uint64_t	rows;
	uint64_t	bytes;			/* of the request, later of the result */
	double		percent;
	aside_bytes command;
	aside_bytes label;
	aside_bytes message;
	aside_bytes progress;
} aside_task_row;

/* Bytes of a task's record in the journal, and of the longest texts that a task keeps. */
#define ASIDE_TASK_RECORD 768
#define ASIDE_TASK_COMMAND 512
#define ASIDE_TASK_LABEL 64
#define ASIDE_TASK_PROGRESS 128

/* A row of aside.stat. Bucket i counts calls that took under 2^i us. */
typedef struct aside_stat_row
{
	uint64_t	calls;
	uint64_t	errors;
	uint64_t	cancelled;
	uint64_t	rows;
	uint64_t	waits;
	uint64_t	wait_us;
	uint64_t	total_us;
	uint64_t	histogram[ASIDE_BUCKETS];
} aside_stat_row;

/* Settings of a worker, read again before each use. */
typedef struct aside_worker_config
{
	uint32_t	idle_timeout_ms;
	uint32_t	min_workers;
	uint32_t	poll_us;
	uint32_t	plan_cache_size;
	uint32_t	session_idle_ms;	/* after which a session ends that runs nothing; 0: never */
	uint32_t	block_idle_ms;	/* the same within a transaction block */
	uint32_t	in_block;
	uint32_t	nap_ms;
	uint64_t	result_bytes;	/* longest result of a task */
	uint64_t	role_bytes;		/* all results of a role's tasks; 0: no limit */
} aside_worker_config;

/* What a worker asks the shim about one statement of a command. */
typedef struct aside_statement
{
	uint32_t	refused;		/* aside_refusal */
	uint32_t	cacheable;		/* analyzed again with the same catalogs, it comes to the same */
	uint32_t	params;			/* highest parameter number it names */
	uint32_t	reserved;
	uint64_t	changes;		/* catalog_changes() before its analysis */
	void	   *plan;
} aside_statement;

typedef enum aside_refusal
{
	ASIDE_ALLOWED = 0,
	ASIDE_REFUSE_TRANSACTION = 1,	/* BEGIN, COMMIT and the like */
	ASIDE_REFUSE_COPY = 2,		/* COPY to or from the client */
	ASIDE_REFUSE_LISTEN = 3,	/* LISTEN, UNLISTEN */
	ASIDE_REFUSE_CONCURRENTLY = 4,	/* CREATE INDEX, REINDEX CONCURRENTLY */
} aside_refusal;

typedef enum aside_outcome
{
	ASIDE_ABORTED = 0,
	ASIDE_COMMITTED = 1,
	ASIDE_UNKNOWN = 2,
} aside_outcome;

/* A process that keeps another one from a lock, and that wait in words. */
typedef struct aside_blocker
{
	uint32_t	pid;
	uint32_t	reserved;
	aside_bytes wait;
} aside_blocker;

/* Both sides of a lease: time, latches, interrupts. */
typedef struct aside_world
{
	uint32_t	abi_version;
	uint32_t	my_pid;
	uint32_t	my_proc;
	uint32_t	reserved;
	/* Server flags that say an interrupt waits to be served. */
	const volatile int32_t *interrupt_pending;
	const volatile int32_t *die_pending;
	/* Sleep on the latch, serve interrupts: OK, TIMEOUT or SAVED. */
	aside_status (*sleep) (uint32_t timeout_ms);
	/* Sleep on the latch, serve nothing: OK or TIMEOUT. */
	aside_status (*doze) (uint32_t timeout_ms);
	void		(*wake) (uint32_t proc);
	/* Forget that one's own latch was set. */
	void		(*clear_latch) (void);
	/* This process begins to wait for a peer without its latch, or does no more: for pg_stat_activity. */
	void		(*show_nap) (bool naps);
	int64_t		(*timestamp) (void);
	/* Keep this error, to be thrown or reported. */
	void		(*fail) (const aside_report *error);
	/* The processes that wait for a buffer that this one has pinned; how many, up to max. */
	size_t		(*pins_wanted) (uint32_t *waiters, size_t max);
} aside_world;

/* What a caller's side asks of its backend. */
typedef struct aside_caller_host
{
	aside_world world;
	/* Start a worker for a slot: OK, NO_WORKER_SLOT or SAVED. */
	aside_status (*launch) (uint32_t slot, uint64_t generation,
							uint32_t database, uint32_t user, bool superuser);
	/* Has the worker last launched for this slot ended without attaching? */
	bool		(*launch_failed) (uint32_t slot);
	/* Sleep until a slot may be free, serve interrupts; the first call of a series only enlists. */
	aside_status (*wait_slot) (uint32_t timeout_ms);
	void		(*end_wait_slot) (void);
	void		(*signal_slot) (void);
	/* SIGINT, or SIGTERM where terminate is true. */
	void		(*interrupt) (uint32_t pid, bool terminate);
	bool		(*alive) (uint32_t pid);
	/* No worker of ours is there, and no process for one: have a coordinator leave its slot. true: one does. */
	bool		(*make_room) (void);
	/*
	 * Names the wait for a lock, or for a safe snapshot, that a process is in;
	 * 0: none.  Locks nothing, while blockers locks the whole lock table.
	 */
	uint64_t	(*lock_wait) (uint32_t pid);
	/*
	 * Who keeps a process from what it waits for so: OK; GONE if it does not.
	 * Lent until the next call of a member.
	 */
	aside_status (*blockers) (uint32_t pid, const aside_blocker **blockers, size_t *count);
	/* Does it wait for others to unpin a buffer? The others say so themselves: pins_wanted. */
	bool		(*pin_wait) (uint32_t pid);
	/* The parallel workers that it waits for; how many, up to max. */
	size_t		(*group) (uint32_t pid, uint32_t *members, size_t max);
	/* What a process runs, as far as this user may know: OK or GONE. */
	aside_status (*activity) (uint32_t pid, aside_bytes *query);
	aside_outcome (*outcome) (uint64_t xid);
	/* Raise a message below ERROR to the client: OK or SAVED. */
	aside_status (*relay) (const aside_report *message);
	/* Keep one row, a MinimalTuple: OK or SAVED. */
	aside_status (*row) (aside_bytes tuple);
	/* The values of a row of so many texts, lent until the next call: OK or SAVED. */
	aside_status (*texts) (aside_bytes tuple, size_t columns, aside_bytes *out);
	/* Rows of these columns follow: OK or SAVED. */
	aside_status (*describe) (const aside_column *columns, size_t ncolumns);
	/* One statement is through: OK or SAVED. */
	aside_status (*complete) (const aside_ending *ending);
	/* May this user act for that role? OK or SAVED. */
	aside_status (*may_act_for) (uint32_t role, bool *may);
	/* The file of a task: written anew, read from an offset (all of it is there), deleted. */
	aside_status (*write_file) (uint64_t task, aside_bytes bytes);
	aside_status (*read_file) (uint64_t task, uint64_t offset, uint8_t *into, size_t len);
	void		(*drop_file) (uint64_t task);
	/* Keep a task's record for after a restart, where there is a journal. */
	void		(*write_down) (uint32_t index, aside_bytes record);
	/* Add to the DETAIL of the error that is kept. */
	/* Wait until the log is flushed so far, and as that synchronous_commit says (0: only flushed): OK or SAVED. */
	aside_status (*await_commit) (uint64_t position, uint32_t level);
	void		(*amend) (aside_bytes detail);
} aside_caller_host;

/* What a handler has done about a batch. */
typedef enum aside_ran
{
	ASIDE_RAN = 0,
	ASIDE_MISPLACED = 1,		/* nothing: the events are not where they are said to be */
	ASIDE_UNWANTED = 2,			/* nothing: the handler is paused or gone, or order matters to it and did not, or not and did */
} aside_ran;

/* A handler has put an event off until then: what it did is committed, and no attempt is counted. */
typedef struct aside_put_off
{
	int64_t		event;
	int64_t		until;
} aside_put_off;

/* What a worker's main loop asks of its process. */
typedef struct aside_worker_host
{
	aside_world world;
	void		(*config) (aside_worker_config *out);
	/* Serve what waits while idle (reload, catch-up, signals): OK or LEAVE. */
	aside_status (*idle) (bool going_to_sleep);
	void		(*signal_slot) (void);
	/* Become the caller: identity, and settings where given. */
	/* Would a login of now have other settings than this process began with? */
	aside_status (*outdated) (bool *is);
	aside_status (*adopt) (const aside_identity *who, const aside_bytes *settings);
	/* What is known of the caller from now on, as its shim wrote it; NULL: nothing. */
	void		(*origin) (aside_bytes origin);
	/* Of this request alone. */
	void		(*call_site) (uint64_t xid, aside_bytes stack);
	/* Open the transaction; within a session, what its state asks for. */
	aside_status (*begin) (aside_bytes command, bool session, bool timed, uint32_t timeout_ms);
	/* The transaction reads at this snapshot of a transaction that runs, and writes nothing: OK or SAVED. */
	aside_status (*read_at) (aside_bytes snapshot);
	/* The timeout of begin has passed. */
	bool		(*timed_out) (void);
	/* Attach to the table of tasks if there is one by now. */
	void		(*find_tasks) (void);
	/* Give workers to queued tasks. */
	void		(*kick) (void);
	/* The file of the running task; as in aside_caller_host. */
	aside_status (*append_file) (uint64_t task, aside_bytes bytes);
	aside_status (*read_file) (uint64_t task, uint64_t offset, uint8_t *into, size_t len);
	void		(*drop_file) (uint64_t task);
	void		(*write_down) (uint32_t index, aside_bytes record);
	/* Who acts in a session now, and a number that changes when its settings do. */
	void		(*session_state) (uint32_t *user, uint64_t *settings);
	/* Tag of the statement that ran last; lent. */
	aside_bytes (*tag) (void);
	/* Notifications that have come for the session, as rows. */
	aside_status (*notifications) (void *sink);
	aside_status (*parse) (aside_bytes command, uint32_t *count);
	aside_status (*prepare) (uint32_t index, const aside_arg *args, size_t nargs,
							 aside_statement *out);
	/* Keep a plan across transactions; forget one. */
	aside_status (*keep_plan) (void *plan);
	void		(*drop_plan) (void *plan);
	/* A number that changes whenever this process hears that the catalogs have. */
	uint64_t	(*catalog_changes) (void);
	/* Lock what a kept plan reads; that number then. */
	aside_status (*lock_plan) (void *plan, uint64_t *changes);
	aside_status (*run) (void *plan, bool several,
						 const aside_arg *args, size_t nargs,
						 uint32_t output,
						 const aside_column *columns, size_t ncolumns,
						 void *sink, uint64_t *processed);
	/* Run a routine that the caller's shim described; its result goes to the sink. */
	aside_status (*run_routine) (aside_bytes routine, const aside_arg *args, size_t nargs,
								 const aside_column *columns, size_t ncolumns, void *sink);
	/*
	 * Have a handler handle and acknowledge a batch of events; see
	 * rust-core/src/wire/batch.rs. Where it is OK, it may not have been done.
	 */
	/* Of a batch that ran, with the events that it has put off: lent until the next call. */
	aside_status (*run_events) (aside_bytes handler, aside_bytes batch, aside_ran *ran, const aside_put_off **put_off, size_t *count);
	/* Record in the open transaction that this aside_chunk_attempt is done; an error if it is not the one any more. */
	aside_status (*record_chunk) (aside_bytes attempt, uint64_t processed);
	/* Before the next statement; controls: the last one ended or began a transaction. */
	aside_status (*next_statement) (bool controls);
	aside_status (*commit) (void);
	void		(*abort) (void);
	/* The error that is kept; valid until the next host call. */
	void		(*error) (aside_report *out);
	/* Write the error that ended a command to the server's log; saved: it is the one that is kept. */
	void		(*log) (const aside_report *error, bool saved);
	/*
	 * Drop what a tenant left; settings_intact tells if the settings still hold.
	 * Of a session that goes on, only what its command needed.
	 */
	aside_status (*clean) (bool session_goes_on, bool *settings_intact);
	/* A cancel sent by the last caller must not reach the next one. */
	void		(*forget_cancel) (void);
} aside_worker_host;

/* ---- events ---- */

/* A channel that a handler had before: its events with ids above `since`, up to `until`, are for it. */
typedef struct aside_former
{
	int64_t		since;
	int64_t		until;
	aside_bytes channel;
} aside_former;

/* A handler of events, as its row says. Times in microseconds. */
typedef struct aside_handler_spec
{
	uint32_t	id;
	uint32_t	version;
	uint32_t	concurrency;
	uint32_t	batch_size;
	uint32_t	max_attempts;
	uint32_t	timeout_ms;
	uint32_t	ordered;
	uint32_t	durable;
	uint32_t	paused;
	uint32_t	key_concurrency;	/* 0: no limit */
	uint32_t	rate_limit;		/* the same */
	uint32_t	pull;			/* consumers take its events */
	uint32_t	guarded;		/* not everybody may notify its channel */
	uint32_t	reserved;
	int64_t		rate_period_us;
	int64_t		backoff_us;
	int64_t		cap_us;
	int64_t		since;
	aside_bytes name;
	aside_bytes channel;
	const aside_former *former;
	size_t		nformer;
	uint64_t	buried;			/* dead events of it */
} aside_handler_spec;

/* What a handler with a rate has begun, so long ago. */
typedef struct aside_started
{
	uint32_t	handler;
	uint32_t	reserved;
	uint64_t	ago_us;
	uint64_t	count;
} aside_started;

/* What becomes of a definition, such as a handler, just now. */
typedef enum aside_standing_state
{
	ASIDE_DEFINITION_ENDED = 0, /* its owner has given it up */
	ASIDE_DEFINITION_WAITS = 1, /* its owner may not act now */
	ASIDE_DEFINITION_ACTS = 2,
} aside_standing_state;

/* Whom a definition acts for. */
typedef struct aside_standing
{
	uint32_t	state;			/* aside_standing_state */
	uint32_t	owner;
	uint32_t	superuser;		/* is the owner one, where the server goes by that? */
	uint32_t	reserved;
} aside_standing;

/* What the log says of an event and a handler. */
typedef struct aside_known
{
	uint32_t	handler;
	uint32_t	attempts;
	uint32_t	paused;			/* the handler was, when this was read */
	uint32_t	unfinished;		/* an attempt began, and nothing came of it */
	int64_t		next_at;		/* 0: none */
	uint32_t	asked;			/* somebody asked for that time */
	uint32_t	put_offs;		/* times that the handler has put it off */
	int64_t		lease;			/* the unfinished attempt is a consumer's; 0: it is not */
	int64_t		lease_us;		/* how long that lasts yet */
} aside_known;

/* What transactions of a handler have committed for an event. */
typedef struct aside_committed
{
	uint32_t	done;
	uint32_t	put_offs;
	int64_t		until;			/* the last time */
} aside_committed;

/* An event that has become visible. */
typedef struct aside_fetched
{
	int64_t		id;
	uint64_t	tid;
	uint64_t	txid;			/* of the transaction that wrote it */
	uint32_t	partition;
	uint32_t	target;			/* 0: every handler of its channel */
	int32_t		priority;
	uint32_t	cancels;		/* it is no event, but cancels this one: */
	int64_t		cancelled;
	int64_t		run_at;			/* microseconds since 2000-01-01 */
	uint32_t	timed;			/* somebody asked for that time */
	uint32_t	max_attempts;	/* of this event alone; 0: as the handler says */
	uint32_t	timeout_ms;		/* the same */
	uint32_t	tells;			/* it is no event, but tells of this lease: */
	int64_t		lease;
	uint32_t	closes;			/* it is no event, but closes the group `cancelled` */
	uint32_t	frees_key;		/* its unique key is free when it begins */
	int64_t		group;			/* 0: none */
	int64_t		expires;		/* it ends then if it has not begun; 0: never */
	uint64_t	first_txid;		/* it was changed, and this transaction had written it; 0: never */
	uint64_t	timed_txid;		/* this transaction has changed its time; 0: none */
	aside_bytes channel;
	aside_bytes key;
	const aside_known *known;
	size_t		nknown;
} aside_fetched;

/* Transactions that the last fetch of all that was new did not see: those from here on, and these before. */
typedef struct aside_unseen
{
	uint64_t	from;
	const uint64_t *running;
	size_t		nrunning;
} aside_unseen;

/* A snapshot as the server has it, and the number that the next transaction will have, read after it was taken. */
typedef struct aside_snapshot
{
	uint64_t	next;
	uint32_t	xmax;
	uint32_t	reserved;
	const uint32_t *xip;
	size_t		nxip;
} aside_snapshot;

/* Of a batch, as run_events is given it: what its items are. */
typedef enum aside_batch_kind
{
	ASIDE_BATCH_EVENTS = 0,		/* the count's places follow, then its ids; eight bytes each */
	ASIDE_BATCH_NOTIFICATIONS = 1,	/* an aside_note_head follows for each, with its texts */
} aside_batch_kind;

/* The head of a batch. */
typedef struct aside_batch
{
	uint32_t	kind;			/* aside_batch_kind */
	uint32_t	partition;
	uint32_t	attempt;
	uint32_t	count;
	uint64_t	key;			/* hash of the key; 0: none */
	uint32_t	timeout_ms;		/* 0: as the handler says */
	uint32_t	reserved;
} aside_batch;

/* In front of the channel and the payload of a notification, each of which is padded to 8 bytes. */
typedef struct aside_note_head
{
	uint32_t	pid;
	uint32_t	channel_len;
	uint32_t	payload_len;
	uint32_t	reserved;
} aside_note_head;

/*
 * By which a handler is named to its worker: a changed one has another
 * version, and one of another extension of the same name other tables.
 */
typedef struct aside_handler_name
{
	uint32_t	id;
	int32_t		ordered;		/* what the coordinator takes it for */
	uint32_t	tables;
} aside_handler_name;

/* Where an event lies. */
typedef struct aside_place
{
	int64_t		id;
	uint64_t	tid;
	uint32_t	partition;
	uint32_t	reserved;
} aside_place;

/* A notification, and the handler for which it is to be recorded. */
typedef struct aside_note
{
	uint32_t	pid;
	uint32_t	handler;
	aside_bytes channel;
	aside_bytes payload;
} aside_note;

/*
 * What a line of aside.event_log_N says of events and a handler: the letter in
 * its column kind. The only place in C and Rust where they are written.
 */
#define ASIDE_LETTER_ATTEMPT 'a'	/* an attempt began */
#define ASIDE_LETTER_WITHDRAWN 'w'	/* which was not made after all */
#define ASIDE_LETTER_DONE 'd'	/* acknowledged, in the handler's own transaction */
#define ASIDE_LETTER_FAILED 'f' /* to be tried again */
#define ASIDE_LETTER_DEAD 'x'	/* not to be tried again */
#define ASIDE_LETTER_CANCELLED 'c'
#define ASIDE_LETTER_PUT_OFF 's'	/* by the handler, in its own transaction */
#define ASIDE_LETTER_RETIMED 'u'	/* somebody has asked for another time */
#define ASIDE_LETTER_EXPIRED 'e'	/* its time was over before it began */
#define ASIDE_LETTER_EXTENDED 'l'	/* a consumer's lease has another end */
#define ASIDE_LETTER_GIVEN_BACK 'n' /* by a consumer, in its own transaction */
#define ASIDE_LETTER_OVER 'o'	/* a consumer's lease is over */

/* Such a letter within the text of a query. */
#define ASIDE_QUOTED(letter) ASIDE_QUOTED_(letter)
#define ASIDE_QUOTED_(letter) #letter
#define ASIDE_SQL_ATTEMPT ASIDE_QUOTED(ASIDE_LETTER_ATTEMPT)
#define ASIDE_SQL_WITHDRAWN ASIDE_QUOTED(ASIDE_LETTER_WITHDRAWN)
#define ASIDE_SQL_DONE ASIDE_QUOTED(ASIDE_LETTER_DONE)
#define ASIDE_SQL_FAILED ASIDE_QUOTED(ASIDE_LETTER_FAILED)
#define ASIDE_SQL_DEAD ASIDE_QUOTED(ASIDE_LETTER_DEAD)
#define ASIDE_SQL_CANCELLED ASIDE_QUOTED(ASIDE_LETTER_CANCELLED)
#define ASIDE_SQL_PUT_OFF ASIDE_QUOTED(ASIDE_LETTER_PUT_OFF)
#define ASIDE_SQL_RETIMED ASIDE_QUOTED(ASIDE_LETTER_RETIMED)
#define ASIDE_SQL_EXPIRED ASIDE_QUOTED(ASIDE_LETTER_EXPIRED)
#define ASIDE_SQL_EXTENDED ASIDE_QUOTED(ASIDE_LETTER_EXTENDED)
#define ASIDE_SQL_GIVEN_BACK ASIDE_QUOTED(ASIDE_LETTER_GIVEN_BACK)
#define ASIDE_SQL_OVER ASIDE_QUOTED(ASIDE_LETTER_OVER)

typedef enum aside_log_kind
{
	ASIDE_LOG_ATTEMPT = ASIDE_LETTER_ATTEMPT,
	ASIDE_LOG_WITHDRAWN = ASIDE_LETTER_WITHDRAWN,
	ASIDE_LOG_DONE = ASIDE_LETTER_DONE,
	ASIDE_LOG_FAILED = ASIDE_LETTER_FAILED,
	ASIDE_LOG_DEAD = ASIDE_LETTER_DEAD,
	ASIDE_LOG_CANCELLED = ASIDE_LETTER_CANCELLED,
	ASIDE_LOG_EXPIRED = ASIDE_LETTER_EXPIRED,
	ASIDE_LOG_EXTENDED = ASIDE_LETTER_EXTENDED,
	ASIDE_LOG_GIVEN_BACK = ASIDE_LETTER_GIVEN_BACK,
	ASIDE_LOG_OVER = ASIDE_LETTER_OVER,
	ASIDE_LOG_KEYS_FREED = 1,	/* no line of the log: the unique keys of these events are free */
} aside_log_kind;

/* A line of the log.  An error's message may be followed by its DETAIL, its HINT and its CONTEXT, each after a NUL. */
typedef struct aside_log_entry
{
	uint32_t	kind;			/* aside_log_kind */
	uint32_t	handler;		/* 0: all */
	uint32_t	partition;
	uint32_t	attempt;
	const int64_t *events;
	size_t		nevents;
	int64_t		next_at;		/* 0: none */
	uint64_t	tid;			/* of a dead event */
	int64_t		lease;			/* of a consumer; 0: none */
	int64_t		group;			/* of an event that has ended; 0: none */
	uint32_t	sqlstate;
	uint32_t	reserved;
	aside_bytes message;
} aside_log_entry;

/* A consumer's lease, which is over for these events. */
typedef struct aside_lease_over
{
	int64_t		lease;
	uint32_t	handler;
	uint32_t	partition;
	const int64_t *events;
	size_t		nevents;
} aside_lease_over;

/* What the log says of an event of a lease. */
typedef struct aside_lease_news
{
	int64_t		lease;
	int64_t		event;
	uint32_t	handler;
	uint32_t	kind;			/* aside_log_kind: done, given back, or over */
	int64_t		next_at;		/* 0: not said */
	aside_bytes message;
} aside_lease_news;

/* What a coordinator asks of its database. What is lent is so until the next call. */
typedef struct aside_event_host
{
	uint32_t	abi_version;
	uint32_t	reserved;
	aside_status (*handlers) (const aside_handler_spec **specs, size_t *count);
	/* Within the periods of their rates. */
	aside_status (*started) (const aside_started **started, size_t *count);
	/* Of these handlers, by id and name: may they run, and as whom? */
	aside_status (*standing) (const aside_handler_spec *handlers, size_t count, aside_standing *out);
	/*
	 * Events of these transactions for a handler or on these channels; NULL: what is open. Commands and so many rows at most,
	 * and the snapshot that saw them.
	 */
	aside_status (*fetch) (const aside_unseen *unseen, const aside_bytes *channels, size_t nchannels, size_t limit,
						   const aside_fetched **events, size_t *count, aside_snapshot *snapshot);
	/* Events above this id that earlier fetches left out, of channels whose handlers were made after it. */
	aside_status (*refetch) (int64_t since, const aside_unseen *unseen, const aside_fetched **events, size_t *count);
	/* Where all events lie now. */
	aside_status (*places) (const aside_place **places, size_t *count);
	aside_status (*record) (const aside_log_entry *entries, size_t count);
	/* A number that no coordinator of these tables was given before. */
	aside_status (*lease_generation) (int64_t *generation);
	/*
	 * What the log says of these leases, and, written now, that these others
	 * are over, but for those of which an open transaction says something.
	 */
	aside_status (*lease_news) (const int64_t *leases, size_t count, const aside_lease_over *over, size_t nover,
								const aside_lease_news **news, size_t *nnews);
	/* Of these groups, or of all: how many have emitted their events, and is there one that somebody has? */
	aside_status (*end_groups) (const int64_t *groups, size_t count, uint64_t *emitted, bool *busy);
	aside_status (*listen) (const aside_bytes *channels, size_t count);
	/* May this process notify a channel where not everybody may? */
	bool		(*may_notify) (aside_bytes channel, uint32_t pid);
	/* Some of those that have come, in their order: are there more? */
	bool		(*notifications) (const aside_note **notes, size_t *count);
	aside_status (*spill) (const aside_note *notes, size_t count);
	/* What this handler has committed for each of these events. */
	aside_status (*committed) (uint32_t handler, uint32_t partition, const int64_t *events, size_t count, aside_committed *out);
	/* Tell the log that a handler failed for so many notifications, the last time like this; 0: that they are dropped. */
	void		(*complain) (aside_bytes handler, uint64_t times, uint32_t sqlstate, aside_bytes message);
	aside_status (*rotate) (uint32_t to);
	/* Leaves the partition alone if it holds events of these transactions. */
	aside_status (*truncate) (uint32_t partition, const aside_unseen *unseen, bool *done);
	/* Into `carried`, which has room for all: those that were, now or before. */
	aside_status (*carry_over) (uint32_t partition, const int64_t *events, size_t count, int64_t *carried, size_t *ncarried);
	aside_status (*compact_keys) (void);
	uint64_t	(*size) (uint32_t partition);
	/* A partition takes events until it is this large, or this old. */
	uint64_t	rotation_bytes;
	uint64_t	rotation_us;
} aside_event_host;

/* What a coordinator is told of, as a set of these. */
typedef enum aside_topic
{
	ASIDE_TOPIC_EVENTS = 1,
	ASIDE_TOPIC_HANDLERS = 2,
	ASIDE_TOPIC_SCHEDULES = 4,
	ASIDE_TOPIC_JOBS = 8,
	ASIDE_TOPIC_PULLS = 16,
} aside_topic;

/* Are the tables with which a coordinator began still there? */
typedef enum aside_tables
{
	ASIDE_TABLES_OURS = 0,
	ASIDE_TABLES_GONE = 1,		/* the extension was dropped, */
	ASIDE_TABLES_REPLACED = 2,	/* and created anew */
} aside_tables;

/* What all parts of a coordinator ask of its process. */
typedef struct aside_coordinator_host
{
	uint32_t	abi_version;
	uint32_t	database;
	/* Part of what names a handler to its worker. */
	uint32_t	tables;
	aside_limits limits;
	double		(*random) (void);
	/* SQLSTATE of the error that is kept; 0: none is. */
	uint32_t	(*error) (void);
	/* Take over what the server has for its client. */
	aside_status (*hear) (void);
	/* After a failure. */
	aside_tables (*found) (void);
	/* Tell the server's log that this part fails, with the error that is kept, or that it works again. */
	void		(*log) (aside_bytes part, bool works);
	void		(*breathe) (uint32_t us);
	/* It ends: no lock is waited for long. */
	void		(*hurry) (void);
	/* Give back memory: much was needed, and is not any more. */
	void		(*give_back) (void);
} aside_coordinator_host;

/* What the specification of a schedule is read by, and asked when it fires. All times are those of the server, but a span's. */
typedef struct aside_schedule_rules
{
	uint32_t	abi_version;
	uint32_t	reserved;
	/* Months, days and microseconds; false: why not, lent. */
	bool		(*interval) (aside_bytes text, int64_t *parts, aside_bytes *why);
	bool		(*timestamp) (aside_bytes text, int64_t *at, aside_bytes *why);
	/* Seconds that wall clocks of this zone are ahead of UTC at a second since 2000, and until when; INT64_MAX: for ever. */
	void		(*span) (const void *zone, int64_t at, int64_t *offset, int64_t *until);
	/* The answer of a call. */
	void		(*give) (aside_bytes answer);
} aside_schedule_rules;

/* A time, or a limit, that there is not. */
#define ASIDE_NO_TIME (-9223372036854775807)

/* A schedule as it is defined now, and how far it has come; see rust-core/src/schedule/host.rs. */
typedef struct aside_schedule
{
	int64_t		id;
	int64_t		revision;
	aside_bytes rule;
	aside_bytes zone;
	uint32_t	overlap;		/* 0 skip, 1 queue, 2 allow, 3 cancel_running */
	uint32_t	misfire;		/* 0 once, 1 skip, 2 all */
	int64_t		deadline_us;
	uint32_t	max_attempts;
	int32_t		priority;
	int64_t		backoff_us;
	int64_t		jitter_us;
	int64_t		until;
	int64_t		max_runs;
	int64_t		next_due;
	int64_t		next_at;
	int64_t		last_due;
	int64_t		fired;
	uint32_t	paused;
	uint32_t	reserved;
} aside_schedule;

/* A run that has not ended. */
typedef struct aside_schedule_run
{
	int64_t		id;
	int64_t		schedule;
	uint32_t	attempt;
	uint32_t	manual;
	uint32_t	begun;
	uint32_t	to_cancel;
	int64_t		due;
	int64_t		not_before;
} aside_schedule_run;

/* As aside.schedule_run has them. */
typedef enum aside_run_state
{
	ASIDE_RUN_WAITING = 0,
	ASIDE_RUN_RUNNING = 1,
	ASIDE_RUN_DONE = 2,
	ASIDE_RUN_FAILED = 3,
	ASIDE_RUN_SKIPPED_OVERLAP = 4,
	ASIDE_RUN_SKIPPED_MISFIRE = 5,
	ASIDE_RUN_CANCELLED = 6,
	ASIDE_RUN_TIMED_OUT = 7,
	ASIDE_RUN_LOST = 8,
} aside_run_state;

typedef enum aside_schedule_entry_kind
{
	ASIDE_SCHEDULE_FIRED = 0,
	ASIDE_SCHEDULE_MOVED = 1,
	ASIDE_SCHEDULE_BEGUN = 2,
	ASIDE_SCHEDULE_UNBEGUN = 3,
	ASIDE_SCHEDULE_ENDED = 4,
	ASIDE_SCHEDULE_AGAIN = 5,
	ASIDE_SCHEDULE_RUNS = 6,
} aside_schedule_entry_kind;

/* What has happened. */
typedef struct aside_schedule_entry
{
	uint32_t	kind;			/* aside_schedule_entry_kind */
	uint32_t	state;			/* aside_run_state, of one that has fired or ended */
	int64_t		schedule;
	int64_t		revision;
	int64_t		run;
	uint32_t	attempt;
	uint32_t	missed;
	int64_t		due;
	int64_t		next_due;
	int64_t		next_at;
	int64_t		last_due;
	int64_t		fired;
	int64_t		not_before;
	/* Of one that has ended. */
	uint32_t	last;			/* no further attempt is made */
	uint32_t	pid;			/* 0: not known */
	int64_t		started;
	int64_t		finished;
	int64_t		rows;			/* -1: not known */
	uint32_t	sqlstate;
	uint32_t	reserved;
	aside_bytes tag;
	aside_bytes message;
	aside_bytes detail;
	aside_bytes hint;
	aside_bytes context;
	aside_bytes messages;
} aside_schedule_entry;

/* Somebody else's transaction has locked a row that an entry changes. */
#define ASIDE_ROW_LOCKED (-1)

/* What a run is to do. */
typedef struct aside_schedule_command
{
	aside_bytes text;			/* absent: its schedule is no more */
	uint32_t	database;
	uint32_t	timeout_ms;
	uint32_t	sqlstate;		/* not 0: its owner's commands may not run there now, and why */
	uint32_t	reserved;
	aside_bytes message;
	aside_bytes detail;
	aside_bytes hint;
} aside_schedule_command;

/* What a coordinator asks of the schedules of its database. What is lent is so until the next call. */
typedef struct aside_schedule_host
{
	uint32_t	abi_version;
	uint32_t	reserved;
	/* When the server was started. */
	int64_t		(*started) (void);
	/* NULL: it knows none of that name. */
	const void *(*zone) (aside_bytes name);
	aside_status (*load) (const aside_schedule **schedules, size_t *nschedules, const aside_schedule_run **runs, size_t *nruns);
	aside_status (*standing) (const int64_t *schedules, size_t count, aside_standing *out);
	/*
	 * In one transaction. Of each, the number of its run; 0: its schedule is another one by now, and it is not written;
	 * ASIDE_ROW_LOCKED: it is not written, and may be later.
	 */
	aside_status (*record) (const aside_schedule_entry *entries, size_t count, int64_t *numbers);
	aside_status (*command) (int64_t run, aside_schedule_command *command);
	const aside_schedule_rules *rules;
} aside_schedule_host;

/* Where a caller looks who waits for a run of a schedule of his database. */
typedef struct aside_run_look
{
	uint32_t	abi_version;
	uint32_t	database;
	aside_status (*ended) (int64_t run, bool *ended);
} aside_run_look;

/* By which an attempt at a chunk of a job is named to its worker. */
typedef struct aside_chunk_attempt
{
	int64_t		job;
	int64_t		number;
	int64_t		attempt;
} aside_chunk_attempt;

/* What a job waits for. */
typedef enum aside_job_wait
{
	ASIDE_JOB_WAITS_NOT = 0,
	ASIDE_JOB_WAITS_LAG = 1,
	ASIDE_JOB_WAITS_SESSIONS = 2,
	ASIDE_JOB_WAITS_WAL_RATE = 3,
	ASIDE_JOB_WAITS_LOAD = 4,
	ASIDE_JOB_WAITS_WINDOW = 5,
} aside_job_wait;

/* A job that has not ended, or of which something runs; see rust-core/src/chunk/host.rs. Limits may be ASIDE_NO_TIME. */
typedef struct aside_job
{
	int64_t		id;
	aside_bytes command;
	const aside_bytes *parts;	/* how it is cut */
	size_t		nparts;
	uint32_t	low_type;
	uint32_t	high_type;
	aside_bytes frontier;		/* absent: nothing is cut off */
	int64_t		chunk_rows;		/* 0: not given */
	uint32_t	workers;
	uint32_t	max_attempts;
	int64_t		lag_us;
	int64_t		lag_bytes;
	int64_t		sessions;
	int64_t		wal_rate;
	int64_t		load_milli;
	int64_t		window_from;
	int64_t		window_to;
	uint32_t	follow;
	uint32_t	paused;
	uint32_t	ended;
	uint32_t	to_cancel;
	uint32_t	cut;
	uint32_t	more;
	uint32_t	waits_for;		/* aside_job_wait */
	uint32_t	failed;			/* chunks that have failed; that there are more than 4 billion does not matter */
} aside_job;

/* A chunk that waits or runs. */
typedef struct aside_chunk
{
	int64_t		job;
	int64_t		number;
	aside_bytes low;
	aside_bytes high;
	int64_t		rows;
	uint32_t	attempt;
	uint32_t	failures;
	uint32_t	begun;
	uint32_t	reserved;
} aside_chunk;

/* A new chunk. */
typedef struct aside_chunk_cut
{
	aside_bytes low;
	aside_bytes high;
	int64_t		rows;
	uint32_t	failures;
	uint32_t	reserved;
} aside_chunk_cut;

typedef enum aside_job_entry_kind
{
	ASIDE_JOB_CUT = 0,
	ASIDE_JOB_BEGUN = 1,
	ASIDE_JOB_UNBEGUN = 2,
	ASIDE_JOB_ENDED = 3,
	ASIDE_JOB_GIVEN_UP = 4,
	ASIDE_JOB_SPLIT = 5,
	ASIDE_JOB_WAITS = 6,
	ASIDE_JOB_OVER = 7,
	ASIDE_JOB_BROKEN = 8,
} aside_job_entry_kind;

/* What becomes of a chunk after an attempt that failed. */
typedef enum aside_chunk_fate
{
	ASIDE_CHUNK_WAITS = 0,
	ASIDE_CHUNK_FAILED = 1,
	ASIDE_CHUNK_JOB_FAILED = 2,
} aside_chunk_fate;

/* What has happened. */
typedef struct aside_job_entry
{
	uint32_t	kind;			/* aside_job_entry_kind */
	uint32_t	fate;			/* aside_chunk_fate; or aside_job_wait */
	int64_t		job;
	int64_t		number;
	uint32_t	attempt;
	uint32_t	failures;
	aside_bytes from;
	aside_bytes frontier;
	const aside_chunk_cut *cuts;
	size_t		ncuts;
	uint32_t	last;
	uint32_t	pid;			/* of an error that a worker has said; 0: not known */
	int64_t		finished;
	uint32_t	sqlstate;		/* 0: the worker was lost */
	uint32_t	reserved;
	aside_bytes message;
	aside_bytes detail;
	aside_bytes hint;
	aside_bytes context;
} aside_job_entry;

/* How the server fares. */
typedef struct aside_measured
{
	int64_t		lag_us;
	int64_t		lag_bytes;
	int64_t		sessions;
	uint64_t	wal;
	int64_t		load_milli;
} aside_measured;

/* What a coordinator asks of the jobs of its database. What is lent is so until the next call. */
typedef struct aside_job_host
{
	uint32_t	abi_version;
	uint32_t	reserved;
	aside_status (*load) (const aside_job **jobs, size_t *njobs, const aside_chunk **chunks, size_t *nchunks);
	aside_status (*standing) (const int64_t *jobs, size_t count, aside_standing *out);
	/*
	 * In one transaction. Of each: 0 if it is not written, because the tables say something else by now; ASIDE_ROW_LOCKED;
	 * the number of the first new chunk; or any other number.
	 */
	aside_status (*record) (const aside_job_entry *entries, size_t count, int64_t *numbers);
	/* And of each job the second of the day in its zone. */
	aside_status (*measure) (const int64_t *jobs, size_t count, aside_measured *measured, int64_t *seconds);
	/* A row that a worker has sent, of columns that are text: so many of them. */
	aside_status (*row) (aside_bytes sent, aside_bytes *columns, size_t ncolumns);
} aside_job_host;

/* Processes that wait to be coordinators, at most. */
#define ASIDE_RESERVE_PLACES 64

/* What a process that is to be a coordinator is told. */
typedef struct aside_assignment
{
	uint32_t	entry;			/* in the registry */
	uint32_t	database;
	uint64_t	generation;
} aside_assignment;

/* What the launcher has its process write to the log. */
typedef enum aside_launcher_note
{
	ASIDE_NOTE_NO_WORKER_SLOT = 0,
	ASIDE_NOTE_TOO_MANY_DATABASES = 1,
} aside_launcher_note;

/* What the launcher asks of its process. */
typedef struct aside_launcher_host
{
	uint32_t	abi_version;
	uint32_t	reserved;
	int64_t		(*timestamp) (void);
	/* Databases that a coordinator may be in; lent. false: could not be read. */
	bool		(*databases) (const uint32_t **databases, size_t *count);
	/* Worker slots of the server that nobody has. */
	uint32_t	(*free_slots) (void);
	/* Those that workers of the pool have. */
	uint32_t	(*workers) (void);
	/* false: there is no worker slot. */
	bool		(*start) (const aside_assignment *assignment);
	void		(*wake) (uint32_t proc);
	void		(*note) (aside_launcher_note what);
} aside_launcher_host;

/* A row of aside.coordinators. */
typedef struct aside_coordinator_row
{
	uint32_t	state;			/* aside_entry_state; of a free one there is no row */
	uint32_t	database;
	uint32_t	pid;
	uint32_t	failures;
	int64_t		since;
} aside_coordinator_row;

/* SQLSTATEs that are counted for each handler. */
#define ASIDE_COUNTED_ERRORS 8

/* What has become of the notifications of a handler, and of its events. */
typedef struct aside_tally_row
{
	uint32_t	database;		/* 0: of no handler */
	uint32_t	handler;
	uint64_t	notes_waiting;
	uint64_t	notes_done;
	uint64_t	notes_failed;
	uint64_t	notes_dropped;
	uint64_t	notes_recorded;
	uint32_t	notes_sqlstates[ASIDE_COUNTED_ERRORS];
	uint32_t	notes_failures[ASIDE_COUNTED_ERRORS];	/* 0: none */
	uint32_t	sqlstates[ASIDE_COUNTED_ERRORS];
	uint32_t	failures[ASIDE_COUNTED_ERRORS];
	uint64_t	waiting;
	uint64_t	delayed;
	uint64_t	retrying;
	uint64_t	running;
	uint64_t	dead;
	uint64_t	workers;
	int64_t		oldest;			/* since when it has been due; 0: there is none */
	uint64_t	emitted;
	uint64_t	done;
	uint64_t	failed;
	uint64_t	died;
	uint64_t	cancelled;
	uint64_t	expired;
	double		emitted_rate;	/* per second, in the last minute */
	double		done_rate;
	double		failed_rate;
	uint32_t	partial;		/* the tables have events that are not counted */
	uint32_t	outdated;		/* the time of some that it counts as delayed has come: it is to look again */
} aside_tally_row;

/* ---- exports ---- */

/* ASIDE_ABI_VERSION of the core. */
extern uint32_t aside_core_abi_version(void);

/*
 * What ends the process when the core cannot go on without memory.  It does
 * not return; before it is set, such a process aborts.
 */
extern void aside_when_out_of_memory(void (*out) (size_t bytes));

typedef struct aside_pool aside_pool;	/* this process's view of a pool */

/* Bytes of shared memory for a pool. queue_bytes is rounded up to a power of two. */
extern size_t aside_pool_size(uint32_t slots, size_t queue_bytes);

/* Lay out a pool in zeroed memory aligned to 64 bytes; key is 16 random bytes. */
extern aside_status aside_pool_init(void *memory, size_t size, uint32_t slots,
									size_t queue_bytes, const uint8_t *key);

/* This process's handle on a laid-out pool; NULL if the layout is not ours. */
extern aside_pool *aside_pool_attach(void *memory, size_t size);
extern uint32_t aside_pool_slots(const aside_pool *pool);
/* Worker processes that it has, and those that are on their way. */
extern uint32_t aside_pool_workers(const aside_pool *pool);

/* Run one autonomous call. ending: of its last statement, its tag with ASIDE_OUTPUT_TEXT only. */
/* The command of the call is run for each chunk, whose bounds are its only arguments. */
extern aside_status aside_parallel_run(aside_pool *pool, const aside_caller_host *host,
									   const aside_call *call, const aside_parallel *plan);
extern aside_status aside_call_run(aside_pool *pool, const aside_caller_host *host,
								   const aside_call *call, aside_ending *ending);

/*
 * Sessions of this process, by name.  A name that is NULL raises 22004, one
 * that is unknown or whose worker has gone 08003, one that is in use 55000.
 */
extern aside_status aside_session_open(aside_pool *pool, const aside_caller_host *host,
									   const aside_call *call, aside_bytes name);
extern aside_status aside_session_run(aside_pool *pool, const aside_caller_host *host,
									  const aside_call *call, aside_bytes name, aside_ending *ending);
extern aside_status aside_session_send(aside_pool *pool, const aside_caller_host *host,
									   const aside_call *call, aside_bytes name);
/* The next result set of what was sent; with tags, the next end of a statement. */
extern aside_status aside_session_result(aside_pool *pool, const aside_caller_host *host,
										 const aside_call *call, aside_bytes name, bool tags,
										 aside_ending *ending);
extern aside_status aside_session_notifications(aside_pool *pool, const aside_caller_host *host,
												const aside_call *call, aside_bytes name);
extern aside_status aside_session_is_busy(aside_pool *pool, const aside_caller_host *host,
										  aside_bytes name, bool *busy);
extern aside_status aside_session_cancel(aside_pool *pool, const aside_caller_host *host,
										 aside_bytes name, bool *cancelled);
/* Message of the last error; lent until the next export of a session is called; NULL: none. */
extern aside_status aside_session_error(aside_pool *pool, const aside_caller_host *host,
										const aside_call *call, aside_bytes name, aside_bytes *message);
/* ASIDE_SAVED with the error of the last command, ASIDE_OK if it raised none. */
extern aside_status aside_session_failure(aside_pool *pool, const aside_caller_host *host,
										  const aside_call *call, aside_bytes name);
/* Close all of this process: OK or SAVED. */
extern aside_status aside_sessions_close(aside_pool *pool, const aside_caller_host *host, const aside_call *call);
extern aside_status aside_session_close(aside_pool *pool, const aside_caller_host *host,
										const aside_call *call, aside_bytes name);
/* The database that a session is in; 0: there is no such session. */
extern uint32_t aside_session_database(const aside_pool *pool, aside_bytes name);
/*
 * Tasks.  Their table is laid out in zeroed memory aligned to 64 bytes, whose
 * size is for so many tasks and so many bytes of requests and results.
 */
extern size_t aside_tasks_size(uint32_t tasks, size_t memory);
/* first_id: ids begin above it. OK, or GONE if the memory does not fit. */
extern aside_status aside_tasks_init(void *memory, size_t size, uint32_t tasks, uint64_t first_id);
/* At server start: what was queued or ran is lost. records is the journal, and is made anew; its length is for all tasks. */
extern uint32_t aside_tasks_recover(void *memory, size_t size, int64_t now, uint8_t *records, size_t len);
/* This process uses that table. false: it was laid out by another version. */
extern bool aside_tasks_attach(aside_pool *pool, void *memory, size_t size);

extern aside_status aside_task_submit(aside_pool *pool, const aside_caller_host *host,
									  const aside_call *call, const aside_task_start *start, int64_t *id);
/* The first of these to end, or 0 when the time has passed; NULLs are ids of INT64_MIN. timeout_us < 0: none. */
extern aside_status aside_task_wait(aside_pool *pool, const aside_caller_host *host,
									const aside_call *call, const int64_t *ids, size_t count,
									int64_t timeout_us, int64_t *ended);
/* peek: the result counts as not read yet. */
extern aside_status aside_task_result(aside_pool *pool, const aside_caller_host *host,
									  const aside_call *call, int64_t id, bool peek);
/* grace_us < 0: do not wait for its end, nor end its worker. */
extern aside_status aside_task_cancel(aside_pool *pool, const aside_caller_host *host,
									  const aside_call *call, int64_t id, int64_t grace_us, bool *cancelled);
extern aside_status aside_task_detach(aside_pool *pool, const aside_caller_host *host, int64_t id);
extern bool aside_task_progress(aside_pool *pool, const aside_caller_host *host, double percent,
								aside_bytes message);
extern void aside_tasks_transaction(aside_pool *pool, const aside_caller_host *host,
									aside_transaction_end end, uint32_t own, uint32_t parent);
extern bool aside_tasks_pending(const aside_pool *pool);
extern void aside_tasks_kick(aside_pool *pool, const aside_caller_host *host, int64_t retention_us);
/* OK: *out is a row that this user may see; GONE: there is none at this index; LEAVE: nor after it. */
extern aside_status aside_view_task(aside_pool *pool, const aside_caller_host *host, uint32_t index,
									aside_task_row *out);

/* How many tasks there are in each state (ASIDE_TASK_STATE_COUNT), of all roles, and since when the oldest that is queued has been; 0: none is. */
extern int64_t aside_task_counts(aside_pool *pool, uint64_t *counts);

/* A task by its id; pid is that of the worker that has begun it, or in which it wants to run. ASIDE_GONE: there is none to be seen. */
extern aside_status aside_find_task(aside_pool *pool, const aside_caller_host *host, int64_t id,
									aside_task_row *out);

/*
 * What a session does that knows its tasks by PIDs: the PID of a task, as far as its row tells, or 0 if there is
 * none, or -1 to look again; the number of a task that is known by no PID; is it known by its worker's PID? After
 * its result was read, is it known still? Will nobody ask for it any more?
 */
extern int64_t aside_handle_pid(uint32_t pid, bool started, bool finished, uint32_t waited_ms, uint32_t most_ms);
extern int64_t aside_handle_number(int64_t task);
extern bool aside_handle_takes_pid(bool has_cookie, bool taken);
extern bool aside_handle_lasts(int64_t number, bool exists, uint64_t bytes);
extern bool aside_handle_is_over(bool consumed, bool discarded, bool exists);

/*
 * The registry of coordinators, in zeroed shared memory aligned to 64 bytes.
 * Where a latch is returned, it is to be set by the caller; -1 is none.
 */
typedef struct aside_registry aside_registry;
extern size_t aside_registry_size(void);
extern bool aside_registry_init(void *memory, size_t size);
extern aside_registry *aside_registry_attach(void *memory, size_t size);
extern int64_t aside_launcher_step(aside_registry *registry, const aside_launcher_host *host);
extern void aside_launcher_attach(aside_registry *registry, uint32_t pid, int64_t proc);
extern int64_t aside_launcher_kick(aside_registry *registry);
extern bool aside_coordinator_attach(aside_registry *registry, uint32_t entry, uint64_t generation,
									 uint32_t pid, uint32_t proc, int64_t now);
/* What it finds before it has begun: there is no extension. */
extern void aside_coordinator_became(aside_registry *registry, uint32_t entry, aside_entry_state state, int64_t now);
extern void aside_coordinator_exit(aside_registry *registry, uint32_t entry, int64_t now);
/* There may be something new: a set of aside_topic. */
extern int64_t aside_registry_say(aside_registry *registry, uint32_t database, uint32_t topics, int64_t now);
/* Have a coordinator leave its worker slot. false: none can; a latch where one was asked. */
extern bool aside_registry_make_room(aside_registry *registry, int64_t now, int64_t *latch);
/* Counts what was said of the handlers of a database: as long as it is the same, they are. */
extern uint32_t aside_registry_changes(const aside_registry *registry, uint32_t database);
/* CREATE EXTENSION has committed: a coordinator is wanted. */
extern void aside_registry_want(aside_registry *registry, uint32_t database, int64_t now);
/* The database is wanted by somebody until then; false: nobody is in it. */
extern bool aside_registry_vacate(aside_registry *registry, uint32_t database, int64_t until, int64_t *latch);
extern void aside_registry_readmit(aside_registry *registry, uint32_t database);
extern int32_t aside_registry_partition(const aside_registry *registry, uint32_t database);
extern void aside_registry_set_partition(aside_registry *registry, uint32_t entry, uint32_t partition);
/* The highest id that a sequence gave, as far as was known; from now on that is id at least. */
/* Transactions that a coordinator may say it has not seen, before a first one that it has not seen. */
#define ASIDE_UNSEEN_RUNNING 32
/*
 * The transactions whose events the coordinator of a database has not
 * counted: those from `from` on, and these before. How many these are; -1:
 * that is not known. There is room for ASIDE_UNSEEN_RUNNING.
 */
extern int32_t aside_registry_unseen(const aside_registry *registry, uint32_t database, uint64_t *from, uint64_t *running);
extern int64_t aside_registry_raise_id(const aside_registry *registry, uint32_t database, uint32_t sequence, int64_t id);
/* An event more of the role, within its quota; false: say how many it has. */
extern bool aside_quota_take(const aside_registry *registry, uint32_t database, uint32_t role, uint32_t quota);
extern void aside_quota_counted(const aside_registry *registry, uint32_t database, uint32_t role, uint32_t count);
/* A process of the reserve waits at its place, finds out what it is to do, and goes; then kick the launcher. */
extern void aside_reserve_wait(aside_registry *registry, uint32_t place, uint32_t proc);
extern bool aside_reserve_take(aside_registry *registry, uint32_t place, aside_assignment *assignment);
extern void aside_reserve_leave(aside_registry *registry, uint32_t place, int64_t now);
extern bool aside_view_coordinator(const aside_registry *registry, uint32_t index, aside_coordinator_row *out);
/* false after the last one. */
extern bool aside_view_tally(const aside_registry *registry, uint32_t index, int64_t now, aside_tally_row *out);

/* Names events in a question to a coordinator, at most. */
#define ASIDE_NAMED_EVENTS 16

/* Ask the coordinator for events of a handler, and wait for some, if there are none, for wait_us: a lease, 0: none. */
extern aside_status aside_pull(const aside_caller_host *host, const aside_registry *registry, uint32_t database, uint32_t handler,
							   uint32_t most, int64_t lease_us, int64_t wait_us, int64_t *lease);
/* The leases of these events, 0: none; where lease_us is not 0, they last so long from now on. */
extern aside_status aside_find_leases(const aside_caller_host *host, const aside_registry *registry, uint32_t database,
									  uint32_t handler, const int64_t *events, size_t count, int64_t lease_us,
									  int64_t *leases);
/* The process exits: it asks for nothing more. */
extern void aside_pull_exit(const aside_registry *registry, uint32_t pid);

/* A coordinator's state. New events go to `partition`; one that is not needed will leave at once. */
typedef struct aside_coordinator aside_coordinator;
extern aside_coordinator *aside_coordinator_new(aside_registry *registry, uint32_t entry, uint32_t partition,
												bool needed, int64_t now);
/* One turn. true: sleep so long, or until the latch is set; false: end, and kick the launcher. */
extern bool aside_coordinator_turn(aside_coordinator *coordinator, aside_pool *pool, const aside_caller_host *host,
								   const aside_coordinator_host *process, const aside_event_host *events,
								   const aside_schedule_host *schedules, const aside_job_host *jobs, bool ends,
								   int64_t *wait_us);

/* Read a specification at this time, and give it as it is stored. */
extern aside_status aside_schedule_read(const aside_caller_host *host, const aside_schedule_rules *rules, aside_bytes spec,
										int64_t now);
/* Give it in words, with times as they are in this zone. */
extern aside_status aside_schedule_explain(const aside_caller_host *host, const aside_schedule_rules *rules, const void *zone,
										   aside_bytes spec, int64_t now);
/* The due times of a stored one after this time: fewer than are asked for if there are no more. */
extern aside_status aside_schedule_dues(const aside_caller_host *host, const aside_schedule_rules *rules, const void *zone,
										aside_bytes stored, int64_t after, int64_t *dues, size_t most, size_t *count);

/* Wait until a run has ended, for timeout_us, or as long as it takes: -1. The process exits: it waits no more. */
extern aside_status aside_run_wait(const aside_caller_host *host, const aside_registry *registry, const aside_run_look *look,
								   int64_t run, int64_t timeout_us, bool *ended);
extern void aside_run_wait_exit(const aside_registry *registry, uint32_t pid);

/* The tenant of this process is over: its sessions are abandoned. */
extern void aside_sessions_end(aside_pool *pool, const aside_caller_host *host);

/* The process exits: cancel what its leases run, without waiting. */
extern void aside_caller_exit(aside_pool *pool, const aside_caller_host *host);

/* The session that owns a private pool ends: all its workers are to leave. */
extern void aside_pool_close(aside_pool *pool, const aside_caller_host *host);

/* Take the slot that this worker was launched for: OK, or LEAVE if it was given away. */
extern aside_status aside_worker_attach(aside_pool *pool, const aside_worker_host *host,
										uint32_t slot, uint64_t generation);

/* Serve the slot until it is time to leave. */
extern aside_status aside_worker_run(aside_pool *pool, const aside_worker_host *host);

/* The worker process exits. */
extern void aside_worker_exit(aside_pool *pool, const aside_worker_host *host);

/*
 * Before a commit, when deferred triggers have run: what a task has said becomes its result.  OK, SAVED, NO_MEMORY,
 * TOO_MUCH, or GONE on a panic.
 */
extern aside_status aside_settle_task(aside_pool *pool, const aside_worker_host *host);
/*
 * The gate: before a commit (OK, or GONE: the transaction must abort), after it (true: the command was cancelled
 * meanwhile, and is to end), after an abort.
 */
extern aside_status aside_gate_pre_commit(aside_pool *pool, uint64_t xid);
/* Before it: may the caller wait for the log in place of this worker? After it: so far, as that synchronous_commit says. */
extern bool aside_caller_waits(aside_pool *pool);
extern void aside_owe_commit(aside_pool *pool, uint64_t position, uint32_t level);
extern bool aside_gate_committed(aside_pool *pool);
extern void aside_gate_aborted(aside_pool *pool);

/* The last commit of a request is visible and has released its locks: the caller may know. */
extern void aside_commit_settled(aside_pool *pool, const aside_worker_host *host);

/* Was the running request cancelled because of a deadlock? */
extern bool aside_cancelled_by_deadlock(const aside_pool *pool);

/* From inside run: one row, one message, to the caller. OK, SAVED or GONE. A message's position is in the command. */
extern aside_status aside_sink_row(void *sink, aside_bytes tuple);
extern aside_status aside_sink_describe(void *sink, const aside_column *columns, size_t ncolumns);
extern aside_status aside_sink_message(aside_pool *pool, const aside_worker_host *host,
									   const aside_report *message, aside_bytes command);
extern uint32_t aside_worker_depth(const aside_pool *pool);
/* The task that this worker runs now; 0: none. */
extern uint64_t aside_worker_task(const aside_pool *pool);

/* Ask idle workers of a database (0: all) to leave; returns how many are not gone yet. */
extern uint32_t aside_pool_retire(aside_pool *pool, const aside_world *world,
								  uint32_t database);

/* Workers that are in use in this database (0: in any), and of this user (0: of any); 0 on a panic. */
extern uint32_t aside_pool_in_use(const aside_pool *pool, uint32_t database, uint32_t user);

/* Views. false: no such row. */
extern bool aside_view_worker(const aside_pool *pool, uint32_t slot, aside_worker_row *out);
extern bool aside_view_session(aside_pool *pool, uint32_t index, aside_session_row *out);
extern bool aside_view_stat(const aside_pool *pool, uint32_t kind, aside_stat_row *out);

#endif							/* ASIDE_ABI_H */
