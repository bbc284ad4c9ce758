/*
 * events/channel.c
 *	  Channels that belong to somebody: may a role emit there?
 *
 * Each emission asks, so a process remembers what it has found. All rights are
 * proxies, which are types, and memberships of roles: whenever one of these
 * changes, all is asked anew.
 */
#include "definitions/definition.h"
#include "events/events.h"
#include "module/module.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#define REMEMBERED 64

typedef struct Channel
{
	char	   *name;			/* NULL: nothing is known */
	Size		len;
	bool		owned;
	Oid			allowed;		/* the last role that was found to be allowed */
} Channel;

static Channel channels[REMEMBERED];
static bool valid = false;

static void
forget(Datum arg, int cache, uint32 hash)
{
	valid = false;
}

static void
forget_all(void)
{
	for (int i = 0; i < REMEMBERED; i++)
	{
		if (channels[i].name != NULL)
			pfree(channels[i].name);
		channels[i].name = NULL;
	}
}

/* Run this as the owner of the tables. Returns what it says, a boolean; NULL is false. */
static bool
ask(const char *query, Datum channel, Oid role)
{
	Oid			types[2] = {TEXTOID, OIDOID};
	Datum		values[2] = {channel, ObjectIdGetDatum(role)};
	AsideUser	before = aside_act_as(aside_events_owner());
	bool		null;
	bool		answer;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (SPI_execute_with_args(query, 2, types, values, NULL, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not run \"%s\"", query);
	answer = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null)) && !null;
	SPI_finish();
	aside_act_again(before);
	return answer;
}

static Channel *
find_channel(Datum channel)
{
	static bool registered = false;
	text	   *name = DatumGetTextPP(channel);
	Size		len = VARSIZE_ANY_EXHDR(name);
	Channel    *known = &channels[hash_bytes((unsigned char *) VARDATA_ANY(name), len) % REMEMBERED];
	bool		owned;

	if (!registered)
	{
		CacheRegisterSyscacheCallback(TYPEOID, forget, (Datum) 0);
		CacheRegisterSyscacheCallback(AUTHOID, forget, (Datum) 0);
		CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, forget, (Datum) 0);
	}
	registered = true;
	if (!valid)
		forget_all();
	if (known->name != NULL && known->len == len && memcmp(known->name, VARDATA_ANY(name), len) == 0)
		return known;
	/* What changes meanwhile is asked for anew. */
	valid = true;
	owned = ask("SELECT id IS NOT NULL AND $2 IS NOT NULL FROM aside.channel_owner($1)", channel, GetUserId());
	if (known->name != NULL)
		pfree(known->name);
	known->name = NULL;
	known->name = MemoryContextAlloc(TopMemoryContext, len + 1);
	memcpy(known->name, VARDATA_ANY(name), len);
	known->len = len;
	known->owned = owned;
	known->allowed = InvalidOid;
	return known;
}

/* Refuse an emission that this role may not make. Returns whose the unique keys of the channel are: the role's, or all emitters'. */
Oid
aside_check_channel(Datum channel, Oid role)
{
	Channel    *known = find_channel(channel);

	if (!known->owned && aside_open_channels)
		return role;
	if (known->allowed != role || !known->owned)
		(void) ask("SELECT aside.channel_check($1, $2, true) IS NULL", channel, role);
	known->allowed = role;
	return known->owned ? InvalidOid : role;
}
