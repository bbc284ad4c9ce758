/*
 * worker/transaction.c
 *	  The transaction of a request in its worker: it begins, goes on from one
 *	  statement to the next, and commits or aborts.
 */
#include "call/call.h"
#include "worker/worker.h"

#include "access/xact.h"
#include "jit/jit.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "replication/slot.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/timeout.h"
#include "utils/acl.h"

/*
 * PL/pgSQL has compiled code in this process for types that have changed
 * since. The process is not fit for another request.
 */
bool		aside_worn_out = false;

/* Does statement_timeout run for this command; and what it was. */
static bool has_timer = false;
static int	timeout_at_begin = 0;

/* The invoker sees what this process runs. A definer's text, including its literals, is not for the invoker. */
static const char *
shown_command(const char *command)
{
	if ((aside_acting.security_context & SECURITY_LOCAL_USERID_CHANGE) != 0 && aside_acting.current_user != GetAuthenticatedUserId())
		return "<command of a security-definer function>";
	return command;
}

aside_status
aside_host_begin(aside_bytes command, bool session, bool timed, uint32_t timeout_ms)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		char	   *copy;

		if (aside_request_context == NULL)
			aside_request_context = AllocSetContextCreate(TopMemoryContext, "pg_aside request",
														  ALLOCSET_DEFAULT_SIZES);
		copy = MemoryContextAllocHuge(aside_request_context, command.len + 1);
		memcpy(copy, command.data, command.len);
		copy[command.len] = '\0';
		aside_command = copy;
		debug_query_string = aside_caller_query() == NULL ? copy : aside_caller_query();
		aside_log_command(NULL);
		SetCurrentStatementStartTimestamp();
		pgstat_report_activity(STATE_RUNNING, shown_command(copy));
		aside_in_session = session;
		aside_forget_layouts(aside_request_context);
		InitializeQueryCompletion(&aside_last_completion);
		aside_handler_runs = false;
		aside_begin_task_timer(timeout_ms);
		StartTransactionCommand();
		/* This holds until the transaction ends; an abort restores the outer user. A session has its own user. */
		if (!session)
			SetUserIdAndSecContext(aside_acting.current_user, aside_acting.security_context);
		/* Otherwise the caller's own timer runs, until the command sets one. */
		has_timer = timed;
		timeout_at_begin = StatementTimeout;
		if (has_timer)
			aside_start_statement_timer();
	}
	ASIDE_END_TRY();
	return status;
}

aside_status
aside_host_read_at(aside_bytes snapshot)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		aside_read_at(snapshot);
	}
	ASIDE_END_TRY();
	return status;
}

void
aside_host_session_state(uint32_t *user, uint64_t *settings)
{
	*user = GetUserId();
	*settings = aside_settings_version();
}

aside_bytes
aside_host_tag(void)
{
	static char tag[COMPLETION_TAG_BUFSIZE];
	aside_bytes bytes = {(const uint8_t *) tag, 0};

	if (aside_last_completion.commandTag != CMDTAG_UNKNOWN)
		bytes.len = aside_completion_string(tag, &aside_last_completion);
	return bytes;
}

aside_status
aside_host_next_statement(bool controls)
{
	aside_status status = ASIDE_OK;

	aside_forget_layouts(aside_request_context);
	ASIDE_TRY(status);
	{
		if (controls)
		{
			CommitTransactionCommand();
			StartTransactionCommand();
		}
		else
			CommandCounterIncrement();
		/*
		 * As for a client, each statement has the whole time, and a timeout
		 * that the statement before has set holds.
		 */
		if (get_timeout_active(STATEMENT_TIMEOUT))
			disable_timeout(STATEMENT_TIMEOUT, false);
		if (has_timer || StatementTimeout != timeout_at_begin)
			aside_start_statement_timer();
	}
	ASIDE_END_TRY();
	return status;
}

static LocalTransactionId
local_transaction(void)
{
	VirtualTransactionId id;

	GET_VXID_FROM_PGPROC(id, *MyProc);
	return id.localTransactionId;
}

/* A command is over and its transaction, which was this one, is not; or COMMIT AND CHAIN has begun another. */
static void
end_open_transaction(LocalTransactionId transaction)
{
	if (local_transaction() == transaction)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("command left its transaction open"),
				 errhint("End it with COMMIT.")));
	AbortOutOfAnyTransaction();
}

aside_status
aside_host_commit(void)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		LocalTransactionId transaction = local_transaction();

		aside_stop_timers();
		EndImplicitTransactionBlock();
		aside_last_commit = true;
		CommitTransactionCommand();
		/* A session goes on with what its command has begun; nobody else can. */
		if (unlikely(!aside_in_session && IsTransactionOrTransactionBlock()))
			end_open_transaction(transaction);
		aside_log_duration();
	}
	ASIDE_END_TRY();
	aside_last_commit = false;
	return status;
}

/*
 * Do what PostgresMain() does after an error. A session's transaction block
 * stays behind as a failed one. If this fails, the process cannot go on.
 */
void
aside_host_abort(void)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		HOLD_INTERRUPTS();
		disable_all_timeouts(false);
		QueryCancelPending = false;
		debug_query_string = NULL;
		if (aside_in_session)
			AbortCurrentTransaction();
		else
			AbortOutOfAnyTransaction();
		PortalErrorCleanup();
		if (MyReplicationSlot != NULL)
			ReplicationSlotRelease();
		aside_cleanup_replication_slots();
		jit_reset_after_error();
		RESUME_INTERRUPTS();
	}
	ASIDE_END_TRY();
	if (status != ASIDE_OK)
		proc_exit(1);
}

/*
 * PL/pgSQL keeps what it has compiled for as long as the process lives, even
 * if rows have other types by now. A client would have to connect again.
 */
static bool
is_outdated_code(const ErrorData *edata)
{
	const char *file = edata->filename;

	return edata->sqlerrcode == ERRCODE_DATATYPE_MISMATCH && file != NULL &&
		strlen(file) >= strlen("pl_exec.c") &&
		strcmp(file + strlen(file) - strlen("pl_exec.c"), "pl_exec.c") == 0;
}

void
aside_host_error(aside_report *out)
{
	ErrorData  *edata = aside_kept_error();

	if (edata != NULL)
	{
		if (is_outdated_code(edata))
			aside_worn_out = true;
		aside_fill_report(edata, out);
		return;
	}
	memset(out, 0, sizeof(*out));
	out->severity = ASIDE_ERROR;
	out->sqlstate = ERRCODE_INTERNAL_ERROR;
	out->message.data = (const uint8_t *) "error was lost";
	out->message.len = strlen("error was lost");
}
