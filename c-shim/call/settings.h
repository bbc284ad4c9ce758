/*
 * call/settings.h
 *	  What the files that ship settings share: call/settings.c makes the
 *	  block, worker/settings.c applies it, and call/signature.c says whether
 *	  settings have changed.
 */
#ifndef ASIDE_SETTINGS_H
#define ASIDE_SETTINGS_H

#include "base/aside.h"

#include "utils/guc.h"

/* A bit beside an entry's context: no library that the caller has loaded defines this setting. */
#define ASIDE_UNDEFINED_HERE 0x100

/*
 * Another such bit: the entry is the value to which RESET returns for the
 * caller. An entry with the current value comes before it.
 */
#define ASIDE_RESET_TO 0x200

/* AsideWhich value of a setting. */
typedef enum AsideWhich
{
	VALUE_NOW,
	VALUE_RESET,				/* what RESET goes back to */
	VALUE_BOOT,
} AsideWhich;

/* What changes whenever a setting does; compared as bytes. */
typedef struct AsideSignature
{
	char	   *data;
	Size		len;
	Size		room;
} AsideSignature;

static inline bool
aside_is_changeable(const struct config_generic *var)
{
	return var->context == PGC_USERSET || var->context == PGC_SUSET;
}

/*
 * Is the setting at its built-in default, as far as a worker can know? A
 * setting that no library defines exists only because somebody has set it.
 */
static inline bool
aside_is_default(const struct config_generic *var)
{
	return var->source == PGC_S_DEFAULT && (var->flags & GUC_CUSTOM_PLACEHOLDER) == 0;
}

/* call/signature.c */
extern bool aside_settings_same(const AsideSignature *since);
extern void aside_remember_settings(AsideSignature *since);

/* call/settings.c */
extern bool aside_is_shippable(const struct config_generic *var);
extern char *aside_setting_text(const struct config_generic *var, AsideWhich which);

#endif							/* ASIDE_SETTINGS_H */
