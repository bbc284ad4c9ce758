/*
 * call/signature.c
 *	  Have the settings of this process changed? A signature changes whenever
 *	  a setting does.
 */
#include "call/call.h"
#include "call/settings.h"

#include "common/hashfn.h"
#include "utils/guc.h"
#include "utils/memutils.h"

/* The signature that was made last. */
static AsideSignature scratch;

static void
reserve(AsideSignature *signature, Size room)
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
		if (aside_is_changeable(vars[i]))
			kept[kept_count++] = vars[i];
	kept_of = all;
	*count = kept_count;
	return kept;
}

static void
sign(AsideSignature *out)
{
	int			count;
	struct config_generic **vars = watched(&count);
	Trace	   *next;

	reserve(out, sizeof(Trace) * count);
	next = (Trace *) out->data;
	for (int i = 0; i < count; i++)
		if (!aside_is_default(vars[i]) && aside_is_changeable(vars[i]))
			trace_setting(vars[i], next++);
	out->len = (char *) next - out->data;
}

#else

/* The server keeps a list of settings that are not at their defaults, and only this function shows it. */
static void
sign(AsideSignature *out)
{
	Size		room = EstimateGUCStateSpace();

	reserve(out, room);
	SerializeGUCState(out->room, out->data);
	memcpy(&out->len, out->data, sizeof(Size));
	out->len += sizeof(Size);
}

#endif

/* Are the settings now as they were then? */
bool
aside_settings_same(const AsideSignature *since)
{
	sign(&scratch);
	return since->data != NULL && scratch.len == since->len && memcmp(scratch.data, since->data, since->len) == 0;
}

/* After aside_settings_same(): the settings of now are those to compare with. */
void
aside_remember_settings(AsideSignature *since)
{
	AsideSignature old = *since;

	*since = scratch;
	scratch = old;
}

/* A number that changes whenever a setting does. */
uint64
aside_settings_version(void)
{
	static AsideSignature seen;
	static uint64 version = 0;

	if (!aside_settings_same(&seen))
	{
		aside_remember_settings(&seen);
		version++;
	}
	return version;
}
