/*
 * worker/settings.c
 *	  Applies the settings of a caller, as call/settings.c has written them.
 */
#include "call/settings.h"
#include "worker/worker.h"

#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "utils/guc.h"

/* The settings as they were applied last. */
static AsideSignature marked;

typedef struct Entry
{
	const char *name;
	const char *value;
	GucContext	scontext;
	Oid			srole;
	bool		undefined;
	bool		reset_to;
} Entry;

/* The entry at *at, which then moves on; false at the end. */
static bool
next_entry(const aside_bytes *from, Size *at, Entry *entry)
{
	uint32		head[4];

	if (*at + sizeof(head) > from->len)
		return false;
	memcpy(head, from->data + *at, sizeof(head));
	entry->name = (const char *) from->data + *at + sizeof(head);
	entry->value = entry->name + head[0] + 1;
	entry->scontext = (GucContext) (head[2] & ~(ASIDE_UNDEFINED_HERE | ASIDE_RESET_TO));
	entry->undefined = (head[2] & ASIDE_UNDEFINED_HERE) != 0;
	entry->reset_to = (head[2] & ASIDE_RESET_TO) != 0;
	entry->srole = head[3];
	*at += sizeof(head) + head[0] + head[1] + 2;
	return true;
}

static bool
has_entry(const aside_bytes *from, const char *name)
{
	Size		at = 0;
	Entry		entry;

	while (next_entry(from, &at, &entry))
		if (strcmp(entry.name, name) == 0)
			return true;
	return false;
}

/* A setting that the worker has from elsewhere, and that the caller has at its default, returns to the default. */
static void
withdraw(const aside_bytes *from)
{
	int			count;
	struct config_generic **vars = aside_guc_variables(&count);

	for (int i = 0; i < count; i++)
	{
		if (vars[i]->source == PGC_S_DEFAULT || !aside_is_shippable(vars[i]) ||
			has_entry(from, vars[i]->name))
			continue;
		(void) set_config_option(vars[i]->name, aside_setting_text(vars[i], VALUE_BOOT), PGC_SUSET, PGC_S_SESSION,
								 GUC_ACTION_SET, true, DEBUG1, false);
	}
}

/* This is the request of an event handler: it gets the settings of its owner, and no caller's. */
static bool
is_own_defaults(const aside_bytes *from)
{
	return from->len == 1 && from->data[0] == 'D';
}

static void
name_setting(void *arg)
{
	Entry	   *entry = arg;

	if (entry->name != NULL)
		errcontext("setting \"%s\" of the caller", entry->name);
}

/*
 * The caller has these values. The worker does not ask again whether the
 * caller's present role could set them, because a value may name a schema
 * that is closed to that role. Temporary tablespaces are the exception: the
 * server takes those that the role may use.
 */
static void
apply_entry(const Entry *entry, Oid user, int context, int level)
{
	if (strcmp(entry->name, "temp_tablespaces") != 0)
		SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, context | SECURITY_LOCAL_USERID_CHANGE);
	(void) set_config_option_ext(entry->name, entry->value, entry->scontext, PGC_S_SESSION,
								 entry->srole, GUC_ACTION_SET, true, level, true);
	SetUserIdAndSecContext(user, context);
}

/* Within a transaction: what the block says, and nothing else, holds. */
void
aside_settings_apply(const aside_bytes *from, bool elsewhere)
{
	Size		at = 0;
	Entry		entry = {0};
	ErrorContextCallback callback = {
		.previous = error_context_stack,
		.callback = name_setting,
		.arg = &entry,
	};
	Oid			user;
	int			context;

	GetUserIdAndSecContext(&user, &context);
	ResetAllOptions();
	if (is_own_defaults(from))
		return;
	withdraw(from);
	error_context_stack = &callback;
	while (next_entry(from, &at, &entry))
	{
		/*
		 * The worker ignores a value where the caller's process would: if a
		 * library defines the setting later, if temporary tables have been
		 * used, and if a tablespace is closed to this role. In another
		 * database the value may name something that does not exist there.
		 */
		bool		tolerant = entry.undefined || strcmp(entry.name, "temp_buffers") == 0 ||
			strcmp(entry.name, "temp_tablespaces") == 0;

		if (entry.reset_to)
			continue;
		apply_entry(&entry, user, context, tolerant ? DEBUG1 : elsewhere ? WARNING : ERROR);
	}
	error_context_stack = callback.previous;
}

/*
 * A RESET in the worker restores what it would restore for the caller, whose
 * client may have chosen the value when it connected. name: the setting, or
 * NULL for all.
 */
void
aside_settings_reset(const aside_bytes *from, const char *name, bool local)
{
	Size		at = 0;
	Entry		entry;

	while (next_entry(from, &at, &entry))
	{
		if (!entry.reset_to || (name != NULL && pg_strcasecmp(entry.name, name) != 0))
			continue;
		(void) set_config_option(entry.name, entry.value, superuser() || name == NULL ? PGC_SUSET : PGC_USERSET, PGC_S_SESSION,
								 local ? GUC_ACTION_LOCAL : GUC_ACTION_SET, true, name == NULL ? DEBUG1 : 0, false);
	}
}

/* Remember the settings as they are now; aside_settings_intact() compares with them. */
void
aside_settings_mark(void)
{
	(void) aside_settings_same(&marked);
	aside_remember_settings(&marked);
}

bool
aside_settings_intact(void)
{
	return marked.data == NULL || aside_settings_same(&marked);
}
