/*
 * events/announce.c
 *	  What a transaction has done that coordinators and the launcher wait
 *	  for: they are told when it has committed.
 */
#include "coordinator/coordinator.h"
#include "events/events.h"

#include "access/xact.h"
#include "utils/resowner.h"

/* Of the events that the handler was called with in this transaction, the deepest. */
int			aside_event_depth = 0;

/* What this transaction is to say when it commits. */
static bool emitted = false;
static bool handlers_changed = false;
static bool extension_made = false;
static bool databases_changed = false;

/* It has committed, and these are said when the others can hear of it. */
static bool committed = false;

static bool watching = false;

static void
transaction_ends(XactEvent event, void *arg)
{
	/* What is rolled back takes room in the tables all the same. */
	if (emitted && (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT))
		aside_say_events();
	committed = event == XACT_EVENT_COMMIT && (handlers_changed || extension_made || databases_changed);
	/* Of what is prepared, COMMIT PREPARED tells (module/hooks.c). */
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
	{
		emitted = false;
		aside_event_depth = 0;
	}
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		handlers_changed = extension_made = databases_changed = false;
}

/*
 * What others have in their caches of the catalogs they are told after the
 * callbacks of a commit.  Whoever were woken before would look there, find
 * nothing new, and sleep.
 */
static void
resources_released(ResourceReleasePhase phase, bool is_commit, bool is_top_level, void *arg)
{
	if (likely(!committed) || phase != RESOURCE_RELEASE_AFTER_LOCKS || !is_top_level)
		return;
	if (handlers_changed)
		aside_say_handlers();
	if (extension_made)
		aside_want_coordinator();
	if (databases_changed)
		aside_look_for_databases();
	committed = handlers_changed = extension_made = databases_changed = false;
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

/* The transaction has emitted something: it will say so. */
void
aside_note_emitted(void)
{
	watch_transactions();
	emitted = true;
}

/* The transaction has done something after which handlers may be others, or their tables gone. */
void
aside_note_handlers(void)
{
	watch_transactions();
	handlers_changed = true;
}

/* The transaction has made, renamed or dropped a database. */
void
aside_note_databases(void)
{
	watch_transactions();
	databases_changed = true;
}

/* CREATE EXTENSION has been run here. */
void
aside_note_extension(void)
{
	watch_transactions();
	extension_made = true;
}
