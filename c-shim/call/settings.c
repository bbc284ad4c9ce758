/*
 * call/settings.c
 *	  The settings of a session as a block of bytes. The caller makes the
 *	  block, and the worker applies it.
 *
 * The block holds every setting that a session may change and that is not at
 * its built-in default, whatever its source: the worker may have started
 * before or after a change of the configuration file or of a role's defaults.
 * Each entry names the role and the context that set it, so nobody gains the
 * right to a setting on the way. The block leaves out client_encoding (the
 * worker has no client), the properties of the current transaction, and
 * transaction_timeout (the worker's transaction begins with the call).
 */
#include "call/call.h"

#include "catalog/pg_authid.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

/* A bit beside an entry's context: no library that the caller has loaded defines this setting. */
#define UNDEFINED_HERE 0x100

/*
 * Another such bit: the entry is the value to which RESET returns for the
 * caller. An entry with the current value comes before it.
 */
#define RESET_TO 0x200

/* What changes whenever a setting does; compared as bytes. */
typedef struct Signature
{
	char	   *data;
	Size		len;
	Size		room;
} Signature;

static Signature seen_by_caller;
static Signature marked_in_worker;
static Signature scratch;

static StringInfoData block;
static uint64 block_version = 0;

static inline bool
is_changeable(const struct config_generic *var)
{
	return var->context == PGC_USERSET || var->context == PGC_SUSET;
}

static bool
is_shippable(const struct config_generic *var)
{
	static const char *const never[] = {"client_encoding", "transaction_timeout"};

	if (!is_changeable(var) || (var->flags & GUC_NO_RESET_ALL) != 0)
		return false;
	for (int i = 0; i < lengthof(never); i++)
		if (strcmp(var->name, never[i]) == 0)
			return false;
	return true;
}

/*
 * Is the setting at its built-in default, as far as a worker can know? A
 * setting that no library defines exists only because somebody has set it.
 */
static inline bool
is_default(const struct config_generic *var)
{
	return var->source == PGC_S_DEFAULT && (var->flags & GUC_CUSTOM_PLACEHOLDER) == 0;
}

static void
reserve(Signature *signature, Size room)
{
	if (signature->room >= room)
		return;
	if (signature->data != NULL)
		pfree(signature->data);
	signature->data = MemoryContextAlloc(TopMemoryContext, room);
	signature->room = room;
}

#ifdef ASIDE_CHEAP_SETTINGS_SCAN

/* The trace of one setting. A string's content is part of it, because its memory may have been used again. */
typedef struct Trace
{
	const struct config_generic *var;
	int			source;
	int			scontext;
	Oid			srole;
	uint32		reserved;
	uint64		value;
	uint64		hash;
} Trace;

static void
trace_setting(const struct config_generic *var, Trace *trace)
{
	memset(trace, 0, sizeof(*trace));
	trace->var = var;
	trace->source = var->source;
	trace->scontext = var->scontext;
	trace->srole = var->srole;
	switch (var->vartype)
	{
		case PGC_BOOL:
			trace->value = *ASIDE_CONF(bool, var)->variable;
			break;
		case PGC_INT:
			trace->value = (uint32) *ASIDE_CONF(int, var)->variable;
			break;
		case PGC_REAL:
			memcpy(&trace->value, ASIDE_CONF(real, var)->variable, sizeof(double));
			break;
		case PGC_STRING:
			{
				const char *text = *ASIDE_CONF(string, var)->variable;

				trace->value = (uint64) (uintptr_t) text;
				if (text != NULL)
					trace->hash = hash_bytes_extended((const unsigned char *) text, strlen(text), 0);
				break;
			}
		case PGC_ENUM:
			trace->value = (uint32) *ASIDE_CONF(enum, var)->variable;
			break;
	}
}

/*
 * Those that a session may change, and maybe others.  They are kept for as
 * long as there are as many settings as there were, none of which is a
 * placeholder: only a placeholder makes way for another one.
 */
static struct config_generic **
watched(int *count)
{
	static struct config_generic **kept = NULL;
	static int	kept_count;
	static int	kept_of = 0;
	int			all;
	struct config_generic **vars = aside_guc_variables(&all);

	if (likely(all == kept_of))
	{
		*count = kept_count;
		return kept;
	}
	kept_of = kept_count = 0;
	*count = all;
	for (int i = 0; i < all; i++)
		if ((vars[i]->flags & GUC_CUSTOM_PLACEHOLDER) != 0)
			return vars;
	if (kept != NULL)
		pfree(kept);
	kept = MemoryContextAlloc(TopMemoryContext, sizeof(*kept) * all);
	for (int i = 0; i < all; i++)
		if (is_changeable(vars[i]))
			kept[kept_count++] = vars[i];
	kept_of = all;
	*count = kept_count;
	return kept;
}

static void
sign(Signature *out)
{
	int			count;
	struct config_generic **vars = watched(&count);
	Trace	   *next;

	reserve(out, sizeof(Trace) * count);
	next = (Trace *) out->data;
	for (int i = 0; i < count; i++)
		if (!is_default(vars[i]) && is_changeable(vars[i]))
			trace_setting(vars[i], next++);
	out->len = (char *) next - out->data;
}

#else

/* The server keeps a list of settings that are not at their defaults, and only this function shows it. */
static void
sign(Signature *out)
{
	Size		room = EstimateGUCStateSpace();

	reserve(out, room);
	SerializeGUCState(out->room, out->data);
	memcpy(&out->len, out->data, sizeof(Size));
	out->len += sizeof(Size);
}

#endif

static bool
same(const Signature *a, const Signature *b)
{
	return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

static void
remember(Signature *signature)
{
	Signature	old = *signature;

	*signature = scratch;
	scratch = old;
}

/*
 * The worker does not have its caller's temporary tables. So pg_temp leaves
 * the front of search_path, and what the worker creates goes to the next
 * schema. Elsewhere in search_path pg_temp keeps its place, because the
 * server would otherwise search it first.
 */
static char *
without_pg_temp(const char *path)
{
	char	   *copy = pstrdup(path);
	List	   *names;
	ListCell   *cell;
	StringInfoData out;

	if (strstr(path, "pg_temp") == NULL || !SplitIdentifierString(copy, ',', &names))
		return pstrdup(path);
	initStringInfo(&out);
	foreach(cell, names)
	{
		if (strcmp(lfirst(cell), "pg_temp") == 0 && out.len == 0)
			continue;
		if (out.len > 0)
			appendStringInfoString(&out, ", ");
		appendStringInfoString(&out, quote_identifier(lfirst(cell)));
	}
	return out.data;
}

/* Which value of a setting. */
typedef enum Which
{
	VALUE_NOW,
	VALUE_RESET,				/* what RESET goes back to */
	VALUE_BOOT,
} Which;

#define CHOSEN(conf, which) \
	((which) == VALUE_BOOT ? (conf)->boot_val : (which) == VALUE_RESET ? (conf)->reset_val : *(conf)->variable)

/* A value in a form that is read back exactly. */
static char *
value_text(const struct config_generic *var, Which which)
{
	switch (var->vartype)
	{
		case PGC_BOOL:
			return pstrdup(CHOSEN(ASIDE_CONF(bool, var), which) ? "true" : "false");
		case PGC_INT:
			return psprintf("%d", CHOSEN(ASIDE_CONF(int, var), which));
		case PGC_REAL:
			return psprintf("%.17g", CHOSEN(ASIDE_CONF(real, var), which));
		case PGC_STRING:
			{
				const char *text = CHOSEN(ASIDE_CONF(string, var), which);

				if (strcmp(var->name, "search_path") == 0 && text != NULL)
					return without_pg_temp(text);
				return pstrdup(text == NULL ? "" : text);
			}
		case PGC_ENUM:
			return pstrdup(aside_enum_name(var, CHOSEN(ASIDE_CONF(enum, var), which)));
	}
	return pstrdup("");
}

static void
append_value(const struct config_generic *var, Which which, uint32 flags)
{
	char	   *value = value_text(var, which);
	uint32		head[4] = {strlen(var->name), strlen(value), var->scontext | flags, var->srole};

	appendBinaryStringInfo(&block, (char *) head, sizeof(head));
	appendBinaryStringInfo(&block, var->name, head[0] + 1);
	appendBinaryStringInfo(&block, value, head[1] + 1);
	pfree(value);
}

static void
append_entry(const struct config_generic *var)
{
	append_value(var, VALUE_NOW, (var->flags & GUC_CUSTOM_PLACEHOLDER) != 0 ? UNDEFINED_HERE : 0);
	if (var->reset_source != PGC_S_DEFAULT)
		append_value(var, VALUE_RESET, RESET_TO);
}

/* Of this session: the block, and a number that changes with it. */
void
aside_settings_current(aside_bytes *out, uint64_t *version)
{
	sign(&scratch);
	if (block.data == NULL || !same(&scratch, &seen_by_caller))
	{
		int			count;
		struct config_generic **vars = aside_guc_variables(&count);

		if (block.data == NULL)
		{
			MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

			initStringInfo(&block);
			MemoryContextSwitchTo(old);
		}
		resetStringInfo(&block);
		seen_by_caller.len = 0;
		for (int i = 0; i < count; i++)
			if (!is_default(vars[i]) && is_shippable(vars[i]))
				append_entry(vars[i]);
		remember(&seen_by_caller);
		block_version++;
	}
	out->data = (const uint8_t *) block.data;
	out->len = block.len;
	*version = block_version;
}

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
	entry->scontext = (GucContext) (head[2] & ~(UNDEFINED_HERE | RESET_TO));
	entry->undefined = (head[2] & UNDEFINED_HERE) != 0;
	entry->reset_to = (head[2] & RESET_TO) != 0;
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
		if (vars[i]->source == PGC_S_DEFAULT || !is_shippable(vars[i]) ||
			has_entry(from, vars[i]->name))
			continue;
		(void) set_config_option(vars[i]->name, value_text(vars[i], VALUE_BOOT), PGC_SUSET, PGC_S_SESSION,
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
	sign(&scratch);
	remember(&marked_in_worker);
}

bool
aside_settings_intact(void)
{
	if (marked_in_worker.data == NULL)
		return true;
	sign(&scratch);
	return same(&scratch, &marked_in_worker);
}

/* A number that changes whenever a setting does. */
uint64
aside_settings_version(void)
{
	static Signature seen;
	static uint64 version = 0;

	sign(&scratch);
	if (version == 0 || !same(&scratch, &seen))
	{
		Signature	old = seen;

		seen = scratch;
		scratch = old;
		version++;
	}
	return version;
}
