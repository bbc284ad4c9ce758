/*
 * base/compat.h
 *	  What differs between PostgreSQL 15 and 19, in one place.
 */
#ifndef ASIDE_COMPAT_H
#define ASIDE_COMPAT_H

#include "postgres.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "catalog/pg_foreign_server.h"
#include "commands/tablecmds.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#if PG_VERSION_NUM < 190000
#include "parser/parser.h"
#endif
#include "replication/slot.h"
#include "storage/buf_internals.h"
#include "storage/bufmgr.h"
#include "storage/proc.h"
#if PG_VERSION_NUM >= 160000
#include "storage/relfilelocator.h"
#else
#include "storage/relfilenode.h"
#endif
#include "tcop/cmdtag.h"
#include "tcop/pquery.h"
#include "utils/acl.h"
#if PG_VERSION_NUM >= 160000
#include "utils/guc_hooks.h"
#endif
#include "utils/guc_tables.h"
#if PG_VERSION_NUM >= 190000
#include "utils/lsyscache.h"
#endif
#include "utils/wait_event.h"

#if PG_VERSION_NUM < 150000
#error "pg_aside needs PostgreSQL 15 or later"
#endif

/* 18 wants it in front of the declaration; before, it may be there. */
#if PG_VERSION_NUM >= 180000
#define ASIDE_NORETURN pg_noreturn
#else
#define ASIDE_NORETURN pg_attribute_noreturn()
#endif

/* From 16 on the caller says whose triggers they are. */
#if PG_VERSION_NUM >= 160000
#define aside_truncate_guts(rels, relids) ExecuteTruncateGuts(rels, relids, NIL, DROP_RESTRICT, false, false)
#else
#define aside_truncate_guts(rels, relids) ExecuteTruncateGuts(rels, relids, NIL, DROP_RESTRICT, false)
#endif

/* 19 puts what is of a setting's type into a union at the end of the generic part. */
#if PG_VERSION_NUM >= 190000
#define ASIDE_CONF(type, setting) (&(setting)->_##type)
#define aside_enum_name(setting, value) config_enum_lookup_by_value((struct config_generic *) (setting), value)
#else
#define ASIDE_CONF(type, setting) ((const struct config_##type *) (setting))
#define aside_enum_name(setting, value) config_enum_lookup_by_value((struct config_enum *) (setting), value)
#endif

/* 19 tells a signal handler who sent the signal, and die() wants to know; nobody did where none was sent. */
#if PG_VERSION_NUM >= 190000
#define ASIDE_DIE_IN_HANDLER() die(postgres_signal_arg, pg_siginfo)
#define ASIDE_DIE(signo) \
	do { \
		const pg_signal_info nobody_ = {0}; \
		die(signo, &nobody_); \
	} while (0)
#else
#define ASIDE_DIE_IN_HANDLER() die(postgres_signal_arg)
#define ASIDE_DIE(signo) die(signo)
#endif

/* 19 is to be told when the last column of a descriptor made by hand has been described. */
#if PG_VERSION_NUM < 190000
#define TupleDescFinalize(desc) ((void) 0)
#endif

/* 19 lends it to hooks. */
#if PG_VERSION_NUM >= 190000
#define ASIDE_JUMBLE const JumbleState
#else
#define ASIDE_JUMBLE JumbleState
#endif

/* 16 moved the settings from an array into a hash table. */
static inline struct config_generic **
aside_guc_variables(int *count)
{
#if PG_VERSION_NUM >= 160000
	return get_guc_variables(count);
#else
	*count = GetNumConfigOptions();
	return get_guc_variables();
#endif
}

/* Until 15 they are in one array that costs little to walk. */
#if PG_VERSION_NUM < 160000
#define ASIDE_CHEAP_SETTINGS_SCAN
#endif

/*
 * Is this role a superuser?  Until 16 the server remembers what a user was at
 * authentication, and a worker's server process remembers its own answer: so
 * the answer is part of a worker's key.  The catalog is asked each time, for
 * what the server remembers it tells only from 15.9 and 16.5 on.  The caller
 * may be outside a transaction, where no catalog may be read.  From 17 on the
 * server itself asks anew each time.
 */
static inline bool
aside_is_superuser(Oid role)
{
#if PG_VERSION_NUM >= 170000
	return false;
#else
	bool		own_transaction = !IsTransactionState();
	MemoryContext old = CurrentMemoryContext;
	bool		answer;

	if (own_transaction)
		StartTransactionCommand();
	answer = superuser_arg(role);
	if (own_transaction)
	{
		CommitTransactionCommand();
		MemoryContextSwitchTo(old);
	}
	return answer;
#endif
}

/*
 * A module is built with one minor release and loaded into others: so it uses
 * nothing that a minor release added.  What it imports is compared with what
 * 15.0 exports (imports-15.txt).
 */
/* A minor release of 15 gave it another name, which is the only one from 16 on. */
static inline void
aside_begin_rows(FunctionCallInfo fcinfo)
{
#if PG_VERSION_NUM >= 160000
	InitMaterializedSRF(fcinfo, 0);
#else
	SetSingleFuncCall(fcinfo, 0);
#endif
}

/*
 * Late minor releases make a function of DatumGetHeapTupleHeader(), which
 * marks rows that very old ones stored unmarked.  This is for a row that a
 * routine has just returned.
 */
static inline HeapTupleHeader
aside_returned_row(Datum row)
{
	return (HeapTupleHeader) PG_DETOAST_DATUM(row);
}

/* Shall the server warn of backslashes in literals?  What it did is returned.  19 knows no literals to warn of. */
static inline bool
aside_warn_of_backslashes(bool wanted)
{
#if PG_VERSION_NUM >= 190000
	return wanted;
#else
	bool		before = escape_string_warning;

	escape_string_warning = wanted;
	return before;
#endif
}

/* 16 has it in the server. */
static inline Size
aside_completion_string(char *to, const QueryCompletion *completion)
{
#if PG_VERSION_NUM >= 160000
	return BuildQueryCompletionString(to, completion, false);
#else
	const char *name = GetCommandTagName(completion->commandTag);

	if (!command_tag_display_rowcount(completion->commandTag))
		return snprintf(to, COMPLETION_TAG_BUFSIZE, "%s", name);
	return snprintf(to, COMPLETION_TAG_BUFSIZE,
					completion->commandTag == CMDTAG_INSERT ? "%s 0 " UINT64_FORMAT : "%s " UINT64_FORMAT,
					name, completion->nprocessed);
#endif
}

/* 16 has one function for all kinds of objects. */
static inline bool
aside_owns_database(Oid database, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(DatabaseRelationId, database, role);
#else
	return pg_database_ownercheck(database, role);
#endif
}

/* 16 tells who may become a role from who has its rights. */
static inline bool
aside_may_give_to(Oid role, Oid owner)
{
#if PG_VERSION_NUM >= 160000
	return member_can_set_role(role, owner);
#else
	return is_member_of_role(role, owner);
#endif
}

static inline AclResult
aside_database_aclcheck(Oid database, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(DatabaseRelationId, database, role, ACL_CONNECT);
#else
	return pg_database_aclcheck(database, role, ACL_CONNECT);
#endif
}

static inline AclResult
aside_server_aclcheck(Oid server, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(ForeignServerRelationId, server, role, ACL_USAGE);
#else
	return pg_foreign_server_aclcheck(server, role, ACL_USAGE);
#endif
}

/* 16 gave it another name. */
#if PG_VERSION_NUM >= 160000
typedef RelFileLocator AsideRelFile;
#else
typedef RelFileNode AsideRelFile;
#endif

/* 17 took pgprocno out of PGPROC. */
static inline uint32
aside_proc_number(PGPROC *proc)
{
#if PG_VERSION_NUM >= 170000
	return (uint32) GetNumberFromPGProc(proc);
#else
	return (uint32) proc->pgprocno;
#endif
}

/* Buffers that others pin are a class of waits with one member; its name changes. */
#define ASIDE_WAIT_BUFFER_PIN 0x04000000U

/* 19 made it longer. */
static inline uint64
aside_buffer_state(BufferDesc *buffer)
{
#if PG_VERSION_NUM >= 190000
	return pg_atomic_read_u64(&buffer->state);
#else
	return pg_atomic_read_u32(&buffer->state);
#endif
}

/* Pin a buffer that somebody has pinned; false: it is another page's by now. */
static inline bool
aside_pin_again(BufferDesc *buffer)
{
#if PG_VERSION_NUM >= 160000
	return ReadRecentBuffer(BufTagGetRelFileLocator(&buffer->tag), BufTagGetForkNum(&buffer->tag),
							buffer->tag.blockNum, BufferDescriptorGetBuffer(buffer));
#else
	return ReadRecentBuffer(buffer->tag.rnode, buffer->tag.forkNum, buffer->tag.blockNum,
							BufferDescriptorGetBuffer(buffer));
#endif
}

/* 18 dropped run_once. */
static inline bool
aside_portal_run(Portal portal, bool top_level, DestReceiver *dest, QueryCompletion *qc)
{
#if PG_VERSION_NUM >= 180000
	return PortalRun(portal, FETCH_ALL, top_level, dest, dest, qc);
#else
	return PortalRun(portal, FETCH_ALL, top_level, true, dest, dest, qc);
#endif
}

static inline void
aside_executor_run(QueryDesc *query)
{
#if PG_VERSION_NUM >= 180000
	ExecutorRun(query, ForwardScanDirection, 0);
#else
	ExecutorRun(query, ForwardScanDirection, 0, true);
#endif
}

/* 18 lets the caller ask for room in front of the tuple. */
static inline MinimalTuple
aside_form_minimal_tuple(TupleDesc desc, Datum *values, bool *nulls)
{
#if PG_VERSION_NUM >= 180000
	return heap_form_minimal_tuple(desc, values, nulls, 0);
#else
	return heap_form_minimal_tuple(desc, values, nulls);
#endif
}

/* 18 keeps a short form of each attribute beside it. */
static inline void
aside_drop_attribute(TupleDesc desc, int i)
{
	TupleDescAttr(desc, i)->attisdropped = true;
#if PG_VERSION_NUM >= 180000
	populate_compact_attribute(desc, i);
#endif
}

static inline MinimalTuple
aside_copy_minimal_tuple(MinimalTuple tuple)
{
#if PG_VERSION_NUM >= 180000
	return heap_copy_minimal_tuple(tuple, 0);
#else
	return heap_copy_minimal_tuple(tuple);
#endif
}

/* 17 lets slots be kept that were synchronized from a primary. */
static inline void
aside_cleanup_replication_slots(void)
{
#if PG_VERSION_NUM >= 170000
	ReplicationSlotCleanup(false);
#else
	ReplicationSlotCleanup();
#endif
}

/*
 * With assertions compiled in, the server refuses to begin a transaction
 * while a definer's security context holds, which VACUUM and its like do.
 */
#ifdef USE_ASSERT_CHECKING
#define ASIDE_DEFINER_IS_TOP_LEVEL false
#else
#define ASIDE_DEFINER_IS_TOP_LEVEL true
#endif

/* 17 lets an extension name its waits. */
#if PG_VERSION_NUM >= 170000
#define ASIDE_WAIT_EVENT(name) \
	({ static uint32 event_ = 0; if (event_ == 0) event_ = WaitEventExtensionNew(name); event_; })
#else
#define ASIDE_WAIT_EVENT(name) PG_WAIT_EXTENSION
#endif

#endif							/* ASIDE_COMPAT_H */
