/*
 * worker/identity.c
 *	  For whom a worker acts, and under which settings. It takes both from the
 *	  request, and applies the settings again when the configuration file has
 *	  changed.
 */
#include "worker/worker.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "utils/guc.h"
#include "utils/memutils.h"

/* The settings that were applied last. They are applied again when the configuration file has been read. */
static StringInfoData applied;

static void
apply_settings(const aside_bytes *settings)
{
	aside_settings_apply(settings, aside_caller_is_elsewhere());
	if (settings->data != (uint8_t *) applied.data)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		if (applied.data == NULL)
			initStringInfo(&applied);
		resetStringInfo(&applied);
		appendBinaryStringInfo(&applied, (const char *) settings->data, settings->len);
		MemoryContextSwitchTo(old);
	}
}

/* Do what RESET would do for the caller, by the settings that were applied last. */
void
aside_reset_setting(const char *name, bool local)
{
	aside_bytes settings = {(uint8_t *) applied.data, applied.len};

	if (applied.data != NULL)
		aside_settings_reset(&settings, name, local);
}

/* The file may have changed settings that the last caller has set. The caller's settings go on top again. */
void
aside_reload_settings(void)
{
	aside_bytes settings = {(uint8_t *) applied.data, applied.len};

	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	/* A session's own settings stand above the file's. */
	if (applied.data == NULL || aside_in_session)
		return;
	StartTransactionCommand();
	apply_settings(&settings);
	CommitTransactionCommand();
	aside_settings_mark();
}

/*
 * The order is that of ParallelWorkerMain(): session authorization, role,
 * settings. The server checks each against the user as whom this process is
 * authenticated, and the caller is authenticated as the same user.
 */
static void
act_as_session(const aside_identity *who)
{
	if (GetSessionUserId() != who->session_user)
		(void) set_config_option("session_authorization", GetUserNameFromId(who->session_user, false),
								 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SET, true, ERROR, false);
	(void) set_config_option("role", OidIsValid(who->role) ? GetUserNameFromId(who->role, false) : "none",
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SET, true, ERROR, false);
}

aside_status
aside_host_adopt(const aside_identity *who, const aside_bytes *settings)
{
	aside_status status = ASIDE_OK;
	bool		other;

	aside_acting = *who;
	other = GetSessionUserId() != who->session_user || GetCurrentRoleId() != who->role;
	if (likely(settings == NULL && !other))
		return ASIDE_OK;
	ASIDE_TRY(status);
	{
		StartTransactionCommand();
		if (other)
			act_as_session(who);
		if (settings != NULL)
			apply_settings(settings);
		CommitTransactionCommand();
		if (settings != NULL)
			aside_settings_mark();
	}
	ASIDE_END_TRY();
	return status;
}
