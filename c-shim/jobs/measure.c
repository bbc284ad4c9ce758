/*
 * jobs/measure.c
 *	  How the server fares, for jobs that hold back when it has enough to do.
 */
#include "coordinator/work.h"
#include "events/events.h"
#include "jobs/jobs.h"

#include <stdlib.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"

static int64_t
load_average(void)
{
	double		load;

	return getloadavg(&load, 1) == 1 ? (int64_t) (load * 1000) : 0;
}

aside_status
aside_measure_jobs(const int64_t *jobs, size_t count, aside_measured *measured, int64_t *seconds)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		Oid			types[1] = {INT8ARRAYOID};
		Datum		values[1];

		aside_begin_work();
		aside_run_query("SELECT coalesce((SELECT max(least(extract(epoch FROM r.replay_lag) * 1000000, 1e17)) FROM pg_stat_replication r), 0)::int8, "
						"coalesce((SELECT max(pg_wal_lsn_diff(pg_current_wal_lsn(), r.replay_lsn)) FROM pg_stat_replication r), 0)::int8, "
						"(SELECT count(*) FROM pg_stat_activity a WHERE a.backend_type = 'client backend' AND a.state = 'active'), "
						"pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::int8", 0, NULL, NULL, NULL, SPI_OK_SELECT);
		measured->lag_us = aside_number_at(0, 1);
		measured->lag_bytes = aside_number_at(0, 2);
		measured->sessions = aside_number_at(0, 3);
		measured->wal = aside_number_at(0, 4);
		measured->load_milli = load_average();
		values[0] = aside_event_array(jobs, count);
		aside_run_query("SELECT w.place, floor(extract(epoch FROM (clock_timestamp() AT TIME ZONE coalesce(j.limits->>'timezone', 'UTC'))::time))::int8 "
						"FROM unnest($1) WITH ORDINALITY w (id, place) LEFT JOIN aside.parallel_job j ON j.id = w.id",
						1, types, values, NULL, SPI_OK_SELECT);
		for (uint64 i = 0; i < SPI_processed; i++)
			seconds[aside_number_at(i, 1) - 1] = aside_number_at(i, 2);
		aside_end_work();
	}
	ASIDE_END_TRY();
	aside_drop_work(status);
	return status;
}
