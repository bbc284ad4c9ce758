/*
 * call/settings.c
 *	  The settings of a session as a block of bytes, which the caller makes
 *	  and the worker applies (worker/settings.c).
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
#include "call/settings.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

static AsideSignature seen;

static StringInfoData block;
static uint64 block_version = 0;

bool
aside_is_shippable(const struct config_generic *var)
{
	static const char *const never[] = {"client_encoding", "transaction_timeout"};

	if (!aside_is_changeable(var) || (var->flags & GUC_NO_RESET_ALL) != 0)
		return false;
	for (int i = 0; i < lengthof(never); i++)
		if (strcmp(var->name, never[i]) == 0)
			return false;
	return true;
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

#define CHOSEN(conf, which) \
	((which) == VALUE_BOOT ? (conf)->boot_val : (which) == VALUE_RESET ? (conf)->reset_val : *(conf)->variable)

/* A value in a form that is read back exactly. */
char *
aside_setting_text(const struct config_generic *var, AsideWhich which)
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
append_value(const struct config_generic *var, AsideWhich which, uint32 flags)
{
	char	   *value = aside_setting_text(var, which);
	uint32		head[4] = {strlen(var->name), strlen(value), var->scontext | flags, var->srole};

	appendBinaryStringInfo(&block, (char *) head, sizeof(head));
	appendBinaryStringInfo(&block, var->name, head[0] + 1);
	appendBinaryStringInfo(&block, value, head[1] + 1);
	pfree(value);
}

static void
append_entry(const struct config_generic *var)
{
	append_value(var, VALUE_NOW, (var->flags & GUC_CUSTOM_PLACEHOLDER) != 0 ? ASIDE_UNDEFINED_HERE : 0);
	if (var->reset_source != PGC_S_DEFAULT)
		append_value(var, VALUE_RESET, ASIDE_RESET_TO);
}

/* Of this session: the block, and a number that changes with it. */
void
aside_settings_current(aside_bytes *out, uint64_t *version)
{
	if (!aside_settings_same(&seen))
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
		/* An error below leaves no signature. */
		seen.len = 0;
		for (int i = 0; i < count; i++)
			if (!aside_is_default(vars[i]) && aside_is_shippable(vars[i]))
				append_entry(vars[i]);
		aside_remember_settings(&seen);
		block_version++;
	}
	out->data = (const uint8_t *) block.data;
	out->len = block.len;
	*version = block_version;
}
