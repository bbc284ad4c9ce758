/*
 * call/request.c
 *	  One request of a SQL function to the core, with the identity, the
 *	  settings and the limits of this session. Also how such a function ends,
 *	  and where it is refused.
 */
#include "call/call.h"

#include "access/transam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/inval.h"

static void
describe_caller(aside_identity *who)
{
	Oid			user;
	int			context;

	GetUserIdAndSecContext(&user, &context);
	who->session_user = GetSessionUserId();
	who->role = GetCurrentRoleId();
	who->current_user = user;
	who->security_context = context;
	who->database = MyDatabaseId;
}

aside_limits
aside_current_limits(void)
{
	aside_limits limits = {
		.max_per_role = aside_max_workers_per_role,
		.max_per_session = aside_max_workers_per_session,
		.min_workers = aside_min_workers,
		.checkout_timeout_ms = aside_checkout_timeout,
		.deadlock_timeout_ms = DeadlockTimeout,
	};

	return limits;
}

/* A request with this session's identity, settings and limits. */
void
aside_fill_call(const AsideRequest *request, aside_call *out)
{
	AsidePool  *serving = aside_worker_pool();
	aside_call	call = {
		.kind = request->kind,
		.output = request->output,
		.database = MyDatabaseId,
		.authenticated_user = GetAuthenticatedUserId(),
		.authenticated_superuser = aside_is_superuser(GetAuthenticatedUserId()),
		.restricted = InSecurityRestrictedOperation(),
		.held_off = InterruptHoldoffCount > 0 || CritSectionCount > 0,
		.depth = serving == NULL ? 0 : aside_worker_depth(serving->handle),
		.max_depth = aside_max_depth,
		.limits = aside_current_limits(),
		.poll_us = aside_poll_time,
		.nap_ms = aside_nap_time,
		.command = request->command,
		.args = request->arguments == NULL ? NULL : request->arguments->args,
		.nargs = request->arguments == NULL ? 0 : request->arguments->count,
		.columns = request->columns,
		.ncolumns = request->ncolumns,
		.routine = request->routine,
	};

	describe_caller(&call.identity);
	aside_settings_current(&call.settings, &call.settings_version);
	aside_origin_current(&call.origin, &call.origin_version);
	if (request->kind == ASIDE_KIND_TASK)
		aside_origin_of_task(&call.origin, &call.origin_version);
	call.xid = U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
	call.stack = aside_stack_current();
	*out = call;
}

/* Run a request; rows processed. */
uint64
aside_run_request(const AsideRequest *request)
{
	AsidePool  *pool = aside_caller_pool(true);
	aside_ending ending = {0};
	aside_call	call;

	aside_fill_call(request, &call);
	aside_finish(aside_call_run(pool->handle, aside_get_caller_host(), &call, &ending));
	return ending.processed;
}

/* The call of a function that runs no command of the user's. */
void
aside_plain_call(aside_kind kind, const char *what, aside_call *call)
{
	AsideRequest request = {.kind = kind, .command = aside_text_bytes(what)};

	aside_fill_call(&request, call);
}

/* The call of a function has ended: raise its error, if there is one. */
void
aside_finish(aside_status status)
{
	aside_rows = NULL;
	if (unlikely(status != ASIDE_OK))
		aside_throw_kept();
	/* The rest of this statement sees the objects as the command has left them. */
	AcceptInvalidationMessages();
}

/*
 * For a function that asks no worker. A worker would refuse by itself. An
 * index function of another user must neither see nor end this session's
 * tasks and sessions.
 */
void
aside_refuse_if_restricted(const char *what)
{
	if (InSecurityRestrictedOperation())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot use %s within a security-restricted operation", what)));
}
