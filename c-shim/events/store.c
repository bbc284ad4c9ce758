/*
 * events/store.c
 *	  What a coordinator asks of its database. Handlers and channels are here;
 *	  events, entries of the log and partitions are in fetch.c, record.c and
 *	  tables.c.
 */
#include "coordinator/coordinator.h"
#include "definitions/tables.h"
#include "events/events.h"
#include "module/module.h"

#include "catalog/pg_type.h"
#include "commands/async.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/guc.h"
#include "utils/memutils.h"

static AsideDefinition
definition_of(const aside_handler_spec *handler)
{
	AsideDefinition definition = {
		.kind = "handler",
		.id = handler->id,
		.name = pnstrdup((const char *) handler->name.data, handler->name.len),
	};

	return definition;
}

/* Channels that these handlers had before. A query returns them in the order of the handlers. */
static void
lend_former(aside_handler_spec *specs, size_t count)
{
	aside_former *all;
	size_t		next = 0;

	aside_run_query("SELECT a.handler, a.since, a.until, a.channel FROM aside.event_addresses a JOIN aside.event_handler h ON h.id = a.handler "
					"WHERE NOT h.inert AND a.channel IS NOT NULL AND a.until < 9223372036854775807 ORDER BY a.handler",
					0, NULL, NULL, NULL, SPI_OK_SELECT);
	all = MemoryContextAllocZero(aside_lent, sizeof(aside_former) * Max(SPI_processed, 1));
	for (size_t i = 0; i < SPI_processed; i++)
	{
		while (next < count && specs[next].id < aside_number_at(i, 1))
			next++;
		if (next == count || specs[next].id != aside_number_at(i, 1))
			continue;
		all[i] = (aside_former) {.since = aside_number_at(i, 2), .until = aside_number_at(i, 3), .channel = aside_lend_text(i, 4)};
		if (specs[next].nformer++ == 0)
			specs[next].former = &all[i];
	}
}

static void
fill_handler(void *out, int row)
{
	aside_handler_spec *spec = out;

	spec->id = aside_number_at(row, 1);
	spec->version = aside_number_at(row, 2);
	spec->concurrency = aside_number_at(row, 3);
	spec->batch_size = aside_number_at(row, 4);
	spec->max_attempts = aside_number_at(row, 5);
	spec->timeout_ms = aside_number_at(row, 6);
	spec->ordered = aside_number_at(row, 7);
	spec->durable = aside_number_at(row, 8);
	spec->paused = aside_number_at(row, 9);
	spec->backoff_us = aside_number_at(row, 10);
	spec->cap_us = aside_number_at(row, 11);
	spec->since = aside_number_at(row, 12);
	spec->name = aside_lend_text(row, 13);
	spec->channel = aside_lend_text(row, 14);
	spec->rate_limit = aside_number_at(row, 15);
	spec->rate_period_us = aside_number_at(row, 16);
	spec->key_concurrency = aside_number_at(row, 17);
	spec->pull = aside_number_at(row, 18);
	spec->buried = aside_number_at(row, 19);
	spec->guarded = aside_number_at(row, 20);
}

static const AsideRead read_handlers = {
	.size = sizeof(aside_handler_spec),
	.fill = fill_handler,
	.query = "SELECT h.id::int8, version::int8, concurrency::int8, batch_size::int8, "
	"max_attempts::int8, coalesce(least(ceil(extract(epoch FROM timeout) * 1000), 2147483647), 0)::int8, "
	"ordered::int::int8, (durable OR form = 'p')::int::int8, paused::int::int8, "
	"least(extract(epoch FROM backoff) * 1000000, 1e18)::int8, "
	"least(extract(epoch FROM backoff_cap) * 1000000, 1e18)::int8, since, name, CASE WHEN closed THEN '' ELSE channel END, coalesce(rate_limit, 0)::int8, "
	"least(ceil(extract(epoch FROM rate_period) * 1000000), 1e18)::int8, coalesce(key_concurrency, 0)::int8, (form = 'p')::int::int8, "
	"(SELECT count(*) FROM aside.event_dead d WHERE d.handler = h.id), "
	"((SELECT o.id FROM aside.channel_owner(h.channel) o) IS NOT NULL OR NOT aside.channel_allows(h.channel, 0, true))::int::int8 "
	"FROM aside.event_handler h WHERE NOT inert ORDER BY h.id",
};

static aside_status
host_handlers(const aside_handler_spec **specs, size_t *count)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		aside_handler_spec *all;

		aside_begin_work();
		aside_run_query("SELECT aside.event_handlers_settle()", 0, NULL, NULL, NULL, SPI_OK_SELECT);
		all = aside_read_rows(&read_handlers, count);
		lend_former(all, *count);
		*specs = all;
		aside_end_work();
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return status;
}

static void
fill_started(void *out, int row)
{
	aside_started *started = out;

	started->handler = aside_number_at(row, 1);
	started->ago_us = aside_number_at(row, 2);
	started->count = aside_number_at(row, 3);
}

static const AsideRead read_started = {
	.size = sizeof(aside_started),
	.fill = fill_started,
	.query = "SELECT s.handler, greatest(extract(epoch FROM clock_timestamp() - s.at) * 1000000, 0)::int8, s.count FROM aside.event_starts() s",
};

/* What handlers with a rate have begun lately. */
static aside_status
host_started(const aside_started **started, size_t *count)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		aside_begin_work();
		*started = aside_read_rows(&read_started, count);
		aside_end_work();
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return status;
}

/* Read the owner as it is now: a definition can change its owner, or end, without a change of its row. */
static aside_status
host_standing(const aside_handler_spec *handlers, size_t count, aside_standing *out)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		aside_begin_work();
		for (size_t i = 0; i < count; i++)
		{
			AsideDefinition definition = definition_of(&handlers[i]);

			memset(&out[i], 0, sizeof(out[i]));
			aside_fill_standing(&definition, &out[i]);
		}
		aside_end_work();
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return status;
}

static aside_status
host_listen(const aside_bytes *channels, size_t count)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		aside_begin_work();
		Async_UnlistenAll();
		for (size_t i = 0; i < count; i++)
			Async_Listen(pnstrdup((const char *) channels[i].data, channels[i].len));
		aside_end_work();
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return status;
}

/*
 * A notification says which process sent it, and not as which role. So the
 * sender is the role that this process has logged in as, if it is still there.
 */
static bool
host_may_notify(aside_bytes channel, uint32_t pid)
{
	aside_status status = ASIDE_OK;
	volatile bool may = false;

	ASIDE_TRY(status);
	{
		PGPROC	   *sender = BackendPidGetProc(pid);
		Oid			role = sender == NULL || sender->databaseId != MyDatabaseId ? InvalidOid : sender->roleId;

		if (OidIsValid(role))
		{
			Oid			types[2] = {TEXTOID, OIDOID};
			Datum		values[2] = {aside_bytes_datum(channel), ObjectIdGetDatum(role)};

			aside_begin_work();
			aside_run_query("SELECT aside.channel_allows($1, $2, true)::int::int8", 2, types, values, NULL, SPI_OK_SELECT);
			may = aside_number_at(0, 1) != 0;
			aside_end_work();
		}
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return may && status == ASIDE_OK;
}

const struct aside_event_host *
aside_get_event_host(void)
{
	static aside_event_host host = {
		.abi_version = ASIDE_ABI_VERSION,
		.handlers = host_handlers,
		.started = host_started,
		.standing = host_standing,
		.fetch = aside_event_fetch,
		.refetch = aside_event_refetch,
		.places = aside_event_places,
		.record = aside_event_record,
		.lease_generation = aside_lease_generation,
		.lease_news = aside_lease_news_of,
		.end_groups = aside_event_end_groups,
		.listen = host_listen,
		.may_notify = host_may_notify,
		.notifications = aside_lend_notifications,
		.spill = aside_event_spill,
		.committed = aside_event_committed,
		.complain = aside_event_complain,
		.rotate = aside_event_rotate,
		.truncate = aside_event_truncate,
		.carry_over = aside_event_carry_over,
		.compact_keys = aside_event_compact_keys,
		.size = aside_event_size,
	};

	host.rotation_bytes = (uint64) aside_event_rotation_size * 1024;
	host.rotation_us = (uint64) aside_event_rotation_time * 1000;
	return &host;
}
