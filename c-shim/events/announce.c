/*
 * events/announce.c
 *	  What a transaction has done that coordinators or the launcher wait for.
 *	  They are told when the transaction has committed.
 */
#include "coordinator/coordinator.h"
#include "events/events.h"

#include "access/xact.h"
#include "fmgr.h"
#include "utils/resowner.h"

PG_FUNCTION_INFO_V1(aside_event_depth_now);
PG_FUNCTION_INFO_V1(aside_want_events);
PG_FUNCTION_INFO_V1(aside_events_ready);

/* The depth of the deepest event that the handler was called with in this transaction. */
int			aside_event_depth = 0;

/* What this transaction must announce when it commits. */
static bool emitted = false;
static uint32 changed = 0;		/* a set of aside_topic */
static bool extension_made = false;
static bool databases_changed = false;

/* The transaction has committed, and announces this once other processes can see it. */
static bool committed = false;

static bool watching = false;

static void
transaction_ends(XactEvent event, void *arg)
{
	/* Events that are rolled back take room in the tables all the same. */
	if (emitted && (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT))
		aside_tell_coordinator(ASIDE_TOPIC_EVENTS);
	committed = event == XACT_EVENT_COMMIT && (changed != 0 || extension_made || databases_changed);
	/* COMMIT PREPARED announces what a prepared transaction has done (module/hooks.c). */
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
	{
		emitted = false;
		aside_event_depth = 0;
	}
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
	{
		changed = 0;
		extension_made = databases_changed = false;
	}
}

/*
 * After the callbacks of a commit, the server tells other processes which
 * entries of their catalog caches are outdated. A process that is woken
 * before that would look into its caches, find nothing new, and sleep again.
 */
static void
resources_released(ResourceReleasePhase phase, bool is_commit, bool is_top_level, void *arg)
{
	if (likely(!committed) || phase != RESOURCE_RELEASE_AFTER_LOCKS || !is_top_level)
		return;
	if (changed != 0)
		aside_tell_coordinator(changed);
	if (extension_made)
		aside_want_coordinator();
	if (databases_changed)
		aside_wake_launcher();
	changed = 0;
	committed = extension_made = databases_changed = false;
}

static void
watch_transactions(void)
{
	if (watching)
		return;
	watching = true;
	RegisterXactCallback(transaction_ends, NULL);
	RegisterResourceReleaseCallback(resources_released, NULL);
}

/* The transaction has emitted an event, or changed one. */
void
aside_announce_events(void)
{
	watch_transactions();
	emitted = true;
}

/* The transaction may have changed definitions, or dropped their tables: a set of aside_topic. */
void
aside_announce_changes(uint32 topics)
{
	watch_transactions();
	changed |= topics;
}

/* The transaction has made, renamed or dropped a database. */
void
aside_announce_databases(void)
{
	watch_transactions();
	databases_changed = true;
}

/* CREATE EXTENSION has been run here. */
void
aside_announce_extension(void)
{
	watch_transactions();
	extension_made = true;
}

/* aside.event_depth() returns int */
Datum
aside_event_depth_now(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(aside_event_depth);
}

/* aside.want_events(): by CREATE EXTENSION */
Datum
aside_want_events(PG_FUNCTION_ARGS)
{
	aside_announce_extension();
	PG_RETURN_VOID();
}

/* aside.events_ready(): has the server a launcher? */
Datum
aside_events_ready(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(aside_has_launcher());
}
